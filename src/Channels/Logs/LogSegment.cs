using System.Buffers.Binary;
using System.Globalization;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>One file of a channel log.</summary>
internal sealed class LogSegment
{
    internal const string Extension = ".channel";

    internal LogSegment(string directory, long number)
    {
        Number = number;
        Path = System.IO.Path.Combine(
            directory, number.ToString("x16", CultureInfo.InvariantCulture) + Extension);
    }

    internal long Number { get; }

    internal string Path { get; }

    /// <summary>Octets of whole records, the header included.</summary>
    internal long Length { get; set; }

    /// <summary>The greatest checkpoint after which a batch in it was delivered; -1 where it has none.</summary>
    internal long LastDeliveredAfter { get; set; } = -1;

    /// <summary>The version of its header; 0 before it was read.</summary>
    internal int Version { get; set; }

    /// <summary>The files of a log, oldest first.</summary>
    /// <exception cref="InvalidDataException">One is missing between two others.</exception>
    internal static List<LogSegment> List(string directory)
    {
        var segments = new List<LogSegment>();
        foreach (string path in Directory.EnumerateFiles(directory, "*" + Extension))
        {
            string name = System.IO.Path.GetFileNameWithoutExtension(path);
            if (name.Length == 16
                && long.TryParse(name, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long number))
            {
                segments.Add(new LogSegment(directory, number));
            }
        }

        segments.Sort((a, b) => a.Number.CompareTo(b.Number));
        for (int i = 1; i < segments.Count; i++)
        {
            if (segments[i].Number != segments[i - 1].Number + 1)
            {
                throw new InvalidDataException($"The channel log has no file before {segments[i].Path}; batches are missing.");
            }
        }

        return segments;
    }

    /// <summary>Reads whole records until there are no more.</summary>
    /// <param name="take">Gets each record and where its frames begin. The frames are overwritten afterwards.</param>
    /// <returns>Octets of whole records; 0 where not even the header is.</returns>
    internal long Scan(Action<LogRecord, long> take)
    {
        using SafeFileHandle file = File.OpenHandle(Path);
        byte[] buffer = new byte[ChannelLogFormat.RecordHeader + ChannelLogFormat.MaxPayload];
        Span<byte> header = buffer.AsSpan(0, ChannelLogFormat.FileHeader);
        Version = Fill(file, header, 0) < header.Length ? 0 : ChannelLogFormat.VersionOf(header);
        if (Version == 0)
        {
            return 0;
        }

        long at = ChannelLogFormat.FileHeader;
        while (true)
        {
            Span<byte> prefix = buffer.AsSpan(0, ChannelLogFormat.RecordHeader);
            int length = Fill(file, prefix, at) < prefix.Length ? 0 : BinaryPrimitives.ReadInt32LittleEndian(prefix);
            if (length is <= 0 or > ChannelLogFormat.MaxPayload)
            {
                return at;
            }

            uint checksum = BinaryPrimitives.ReadUInt32LittleEndian(prefix[4..]);
            Memory<byte> payload = buffer.AsMemory(ChannelLogFormat.RecordHeader, length);
            if (Fill(file, payload.Span, at + ChannelLogFormat.RecordHeader) < length
                || TraceFormat.Crc32C(payload.Span) != checksum
                || !ChannelLogFormat.TryRead(payload, out LogRecord record))
            {
                return at;
            }

            at += ChannelLogFormat.RecordHeader + length;
            take(record, at - record.Batch.Frames.Length);
        }
    }

    /// <summary>Cuts what is behind the last whole record.</summary>
    internal void Cut()
    {
        using SafeFileHandle file = File.OpenHandle(Path, FileMode.Open, FileAccess.Write, FileShare.Read);
        RandomAccess.SetLength(file, Length);
        RandomAccess.FlushToDisk(file);
    }

    /// <summary>Reads octets of the file.</summary>
    /// <returns>How many there were.</returns>
    internal static int Fill(SafeFileHandle file, Span<byte> octets, long at)
    {
        int filled = 0;
        while (filled < octets.Length)
        {
            int got = RandomAccess.Read(file, octets[filled..], at + filled);
            if (got == 0)
            {
                break;
            }

            filled += got;
        }

        return filled;
    }
}
