using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What a record of a channel log says. The numbers are those of the files.</summary>
internal enum LogRecordKind : byte
{
    /// <summary>A batch that was delivered.</summary>
    Batch = 1,

    /// <summary>An incarnation began, and the node went on.</summary>
    Begin = 2,

    /// <summary>An incarnation began, and the node went back to a checkpoint.</summary>
    RollBack = 3,

    /// <summary>A batch that was delivered to the domains of a lost node. It is read as <see cref="Batch"/>, with that node's
    /// name.</summary>
    HostedBatch = 4,
}

/// <summary>The octets of a channel log (docs/protocol.md, "The channel log"). Numbers are little-endian.</summary>
internal static class ChannelLogFormat
{
    /// <summary>2; 1 has no <see cref="LogRecordKind.HostedBatch"/>.</summary>
    internal const int Version = 2;

    /// <summary>Magic, version, checksum of both.</summary>
    internal const int FileHeader = 16;

    /// <summary>The payload's length and its CRC32C.</summary>
    internal const int RecordHeader = 8;

    /// <summary>Octets of a batch's payload before its sender's name.</summary>
    internal const int BatchFixed = 1 + 4 + (4 * 8) + 1;

    /// <summary>The most octets of a payload: what a reader has to hold, and what a flipped bit can cost.</summary>
    internal const int MaxPayload = BatchFixed + byte.MaxValue + 1 + byte.MaxValue + FrameBatch.MaxLength;

    private const int BeginLength = 1 + 4;
    private const int RollBackLength = 1 + 4 + 8 + 8;

    private static ReadOnlySpan<byte> Magic => "XTLCHLOG"u8;

    internal static byte[] Header(int version = Version)
    {
        byte[] header = new byte[FileHeader];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), version);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(12), TraceFormat.Crc32C(header.AsSpan(0, 12)));
        return header;
    }

    /// <summary>The version of a file with this header; 0 where it is none.</summary>
    internal static int VersionOf(ReadOnlySpan<byte> header)
    {
        int version = Version;
        while (version > 0 && !header.SequenceEqual(Header(version)))
        {
            version--;
        }

        return version;
    }

    internal static void WriteBatch(IBufferWriter<byte> output, in LoggedBatch entry)
    {
        int name = Encoding.UTF8.GetByteCount(entry.From);
        int to = entry.To is null ? 0 : 1 + Encoding.UTF8.GetByteCount(entry.To);
        int length = BatchFixed + name + to + entry.Frames.Length;
        Span<byte> record = output.GetSpan(RecordHeader + length)[..(RecordHeader + length)];
        Span<byte> payload = record[RecordHeader..];
        payload[0] = (byte)(entry.To is null ? LogRecordKind.Batch : LogRecordKind.HostedBatch);
        BinaryPrimitives.WriteInt32LittleEndian(payload[1..], entry.Origin);
        BinaryPrimitives.WriteInt64LittleEndian(payload[5..], entry.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(payload[13..], entry.Index);
        BinaryPrimitives.WriteInt64LittleEndian(payload[21..], entry.ReceiverIndex);
        BinaryPrimitives.WriteInt64LittleEndian(payload[29..], entry.DeliveredAfter);
        payload[37] = (byte)name;
        _ = Encoding.UTF8.GetBytes(entry.From, payload[BatchFixed..]);
        if (entry.To is not null)
        {
            payload[BatchFixed + name] = (byte)(to - 1);
            _ = Encoding.UTF8.GetBytes(entry.To, payload[(BatchFixed + name + 1)..]);
        }

        entry.Frames.Span.CopyTo(payload[(BatchFixed + name + to)..]);
        End(output, record);
    }

    internal static void WriteBegin(IBufferWriter<byte> output, int incarnation)
    {
        Span<byte> record = output.GetSpan(RecordHeader + BeginLength)[..(RecordHeader + BeginLength)];
        record[RecordHeader] = (byte)LogRecordKind.Begin;
        BinaryPrimitives.WriteInt32LittleEndian(record[(RecordHeader + 1)..], incarnation);
        End(output, record);
    }

    internal static void WriteRollBack(IBufferWriter<byte> output, int incarnation, long member, long line)
    {
        Span<byte> record = output.GetSpan(RecordHeader + RollBackLength)[..(RecordHeader + RollBackLength)];
        Span<byte> payload = record[RecordHeader..];
        payload[0] = (byte)LogRecordKind.RollBack;
        BinaryPrimitives.WriteInt32LittleEndian(payload[1..], incarnation);
        BinaryPrimitives.WriteInt64LittleEndian(payload[5..], member);
        BinaryPrimitives.WriteInt64LittleEndian(payload[13..], line);
        End(output, record);
    }

    /// <summary>Reads the payload of a record.</summary>
    /// <returns>False where it is none.</returns>
    internal static bool TryRead(ReadOnlyMemory<byte> payload, out LogRecord record)
    {
        record = default;
        ReadOnlySpan<byte> octets = payload.Span;
        switch (octets.IsEmpty ? default : (LogRecordKind)octets[0])
        {
            case LogRecordKind.Batch or LogRecordKind.HostedBatch
                when octets.Length >= BatchFixed && octets.Length >= BatchFixed + octets[37]:
                int name = octets[37], to = 0;
                if ((LogRecordKind)octets[0] == LogRecordKind.HostedBatch)
                {
                    ReadOnlySpan<byte> rest = octets[(BatchFixed + name)..];
                    if (rest.IsEmpty || rest.Length < 1 + rest[0])
                    {
                        return false;
                    }

                    to = 1 + rest[0];
                }

                record = new LogRecord
                {
                    Kind = LogRecordKind.Batch,
                    Batch = new LoggedBatch(
                        Encoding.UTF8.GetString(octets.Slice(BatchFixed, name)),
                        BinaryPrimitives.ReadInt32LittleEndian(octets[1..]),
                        BinaryPrimitives.ReadInt64LittleEndian(octets[5..]),
                        BinaryPrimitives.ReadInt64LittleEndian(octets[13..]),
                        BinaryPrimitives.ReadInt64LittleEndian(octets[21..]),
                        BinaryPrimitives.ReadInt64LittleEndian(octets[29..]),
                        payload[(BatchFixed + name + to)..],
                        to == 0 ? null : Encoding.UTF8.GetString(octets.Slice(BatchFixed + name + 1, to - 1))),
                };
                return true;
            case LogRecordKind.Begin when octets.Length == BeginLength:
                record = new LogRecord
                {
                    Kind = LogRecordKind.Begin,
                    Incarnation = BinaryPrimitives.ReadInt32LittleEndian(octets[1..]),
                };
                return true;
            case LogRecordKind.RollBack when octets.Length == RollBackLength:
                record = new LogRecord
                {
                    Kind = LogRecordKind.RollBack,
                    Incarnation = BinaryPrimitives.ReadInt32LittleEndian(octets[1..]),
                    Member = BinaryPrimitives.ReadInt64LittleEndian(octets[5..]),
                    Line = BinaryPrimitives.ReadInt64LittleEndian(octets[13..]),
                };
                return true;
            default:
                return false;
        }
    }

    private static void End(IBufferWriter<byte> output, Span<byte> record)
    {
        BinaryPrimitives.WriteInt32LittleEndian(record, record.Length - RecordHeader);
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], TraceFormat.Crc32C(record[RecordHeader..]));
        output.Advance(record.Length);
    }
}

/// <summary>A record of a channel log; which members mean something depends on its kind.</summary>
internal readonly record struct LogRecord
{
    internal LogRecordKind Kind { get; init; }

    internal LoggedBatch Batch { get; init; }

    internal int Incarnation { get; init; }

    internal long Member { get; init; }

    internal long Line { get; init; }
}
