using System.Buffers.Binary;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Reads an image: each record is checked before it is decoded. Nothing is allocated per unit.</summary>
/// <remarks>
/// One thread uses it at a time. That the file is whole is known only when its END record was read: before that, a
/// visitor may have seen the beginning of a file that was cut. Who cannot take that back calls
/// <see cref="ScanRecords"/> first.
/// </remarks>
public sealed class ImageReader : IDisposable
{
    internal const string WrongDigest = "the file does not match the digest in the manifest";

    private readonly Stream _stream;
    private readonly string _file;
    private readonly FrameDigest _digest = new();
    private readonly byte[] _recordHeader = new byte[ImageFormat.RecordHeaderSize];
    private RecordDecoder _decoder;

    // Grow with the records, to MaxPayload at most.
    private byte[] _payload = [];
    private long _offset;
    private uint _rolling;
    private long _records;
    private bool _scanned;

    /// <summary>Reads the header.</summary>
    /// <param name="stream">The image, positioned at its start; belongs to the reader.</param>
    /// <param name="file">The file's name for messages.</param>
    /// <exception cref="ImageCorruptException">The header is damaged, or this is no image.</exception>
    /// <exception cref="ImageUnsupportedException">The image is of a later version, or encrypted.</exception>
    public ImageReader(Stream stream, string file)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _stream = stream;
        _file = file;
        Header = ImageHeader.ReadFrom(stream, file, out uint checksum);
        _rolling = Crc32C.Append(0, checksum);

        // A header that is accepted has no bytes but those that its fields give.
        Span<byte> header = stackalloc byte[ImageFormat.HeaderSize];
        Header.WriteTo(header);
        _digest.Add(header);
        _offset = ImageFormat.HeaderSize;
        _decoder = new RecordDecoder(Header, file);
    }

    /// <summary>The image's header.</summary>
    public ImageHeader Header { get; }

    /// <summary>The image's trailer, once END was read.</summary>
    public ImageTrailer? Trailer { get; private set; }

    /// <summary>SHA-256 of the image's frame in lower-case hexadecimal, once END was read. For comparison with the manifest.
    /// </summary>
    public string? Digest { get; private set; }

    /// <summary>The file's name for messages.</summary>
    internal string File => _file;

    /// <summary>True where <see cref="ReadRecord"/> can go on after it threw: it found a record damaged and knows where
    /// the next one begins.</summary>
    internal bool CanGoOn { get; private set; }

    /// <summary>Set by who goes on after a damaged record: the totals of units then prove nothing.</summary>
    internal bool IgnoreTotals { get; set; }

    /// <summary>Reads the last record of an image without its body.</summary>
    /// <param name="stream">The image; seeks.</param>
    /// <param name="file">The file's name for messages.</param>
    /// <exception cref="ImageCorruptException">The file was cut or is damaged at its end.</exception>
    public static ImageTrailer ReadTrailer(Stream stream, string file)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Span<byte> end = stackalloc byte[ImageFormat.EndSize];
        long offset = stream.Length - end.Length;
        if (offset < ImageFormat.HeaderSize)
        {
            throw new ImageCorruptException(file, stream.Length, "the file is shorter than any image");
        }

        stream.Position = offset;
        stream.ReadExactly(end);
        RecordHeader header = RecordHeader.Decode(end, file, offset);
        ReadOnlySpan<byte> payload = end[ImageFormat.RecordHeaderSize..];
        if (header.Type != RecordType.End || header.Flags != 0 || header.Length != payload.Length || !header.Matches(end, payload))
        {
            throw new ImageCorruptException(file, offset, "the file does not end with its END record");
        }

        return ImageTrailer.Decode(payload, file, offset + ImageFormat.RecordHeaderSize);
    }

    /// <summary>Reads the next record.</summary>
    /// <param name="visitor">Receives what it holds.</param>
    /// <returns>False for the END record, after which the file is known to be whole.</returns>
    /// <exception cref="ImageCorruptException">The image is damaged.</exception>
    /// <exception cref="ImageUnsupportedException">A record that must be understood is of an unknown type.</exception>
    public bool ReadRecord(ImageVisitor visitor)
    {
        ArgumentNullException.ThrowIfNull(visitor);
        if (Trailer is not null)
        {
            return false;
        }

        CanGoOn = false;
        long start = _offset;
        RecordHeader header = ReadHeader();
        ReadOnlySpan<byte> payload = ReadPayload(header);
        if (header.Type == RecordType.End)
        {
            CanGoOn = false;
            End(header, payload, start);
            return false;
        }

        Count(header);
        _decoder.Decode(header, payload, start, visitor);
        return true;
    }

    /// <summary>Reads all records.</summary>
    /// <param name="visitor">Receives what they hold.</param>
    /// <returns>The image's trailer.</returns>
    /// <exception cref="ImageCorruptException">The image is damaged.</exception>
    /// <exception cref="ImageUnsupportedException">A record that must be understood is of an unknown type.</exception>
    public ImageTrailer ReadToEnd(ImageVisitor visitor)
    {
        while (ReadRecord(visitor))
        {
        }

        return Trailer!;
    }

    /// <summary>Walks over the headers of all records to the end of the file, without reading what they hold: proves
    /// that no record is missing, added or in another place. The stream must be able to seek.</summary>
    /// <returns>Where the records before END begin, for <see cref="ReadRecordAt"/>: 8 bytes for each, so some
    /// hundred KiB for an image of 64 GiB.</returns>
    /// <exception cref="ImageCorruptException">The image is damaged.</exception>
    public IReadOnlyList<long> ScanRecords()
    {
        if (_offset != ImageFormat.HeaderSize)
        {
            throw new InvalidOperationException("Records were read already.");
        }

        var records = new List<long>();
        long length = _stream.Length;
        while (true)
        {
            long start = _offset;
            RecordHeader header = ReadHeader();
            if (header.Type == RecordType.End)
            {
                // The totals of units are not known without the payloads.
                _scanned = true;
                End(header, ReadPayload(header), start);
                return records;
            }

            if (header.Length > length - _offset)
            {
                throw new ImageCorruptException(_file, length, "the file ends inside a record");
            }

            if ((header.Type == RecordType.Disk) != (records.Count == 0 && Header.NeedsDisk))
            {
                throw new ImageCorruptException(_file, start, "a DISK record is missing, or in the wrong place");
            }

            Count(header);
            records.Add(start);
            _offset += header.Length;
            _stream.Position = _offset;
        }
    }

    /// <summary>Reads one record of units out of order.</summary>
    /// <param name="offset">Where it begins, from <see cref="ScanRecords"/>.</param>
    /// <param name="visitor">Receives its runs, the last one first: with the last record first, the first copy of a
    /// unit that a visitor sees is the one that counts.</param>
    /// <exception cref="ImageCorruptException">The record is damaged.</exception>
    /// <exception cref="ImageUnsupportedException">It must be understood and is of an unknown type.</exception>
    public void ReadRecordAt(long offset, ImageVisitor visitor)
    {
        ArgumentNullException.ThrowIfNull(visitor);
        _offset = offset;
        _stream.Position = offset;
        RecordHeader header = ReadHeader();
        _decoder.Decode(header, ReadPayload(header), offset, visitor, backwards: true);
    }

    /// <summary>Reads the runs of a record, and not their data: for estimates, since no checksum covers the table alone.</summary>
    /// <param name="offset">Where it begins, from <see cref="ScanRecords"/>.</param>
    /// <param name="runs">Receives the runs that are possible, in their order.</param>
    /// <returns>Octets that the data of all runs takes in the file.</returns>
    internal int ReadRunsAt(long offset, List<(PfnRun Run, RunClass Class)> runs)
    {
        runs.Clear();
        _offset = offset;
        _stream.Position = offset;
        RecordHeader header = ReadHeader();
        if (header.Type != RecordType.Runs || header.Length < ImageFormat.RunsPrefixSize)
        {
            return 0;
        }

        Span<byte> prefix = stackalloc byte[ImageFormat.RunsPrefixSize];
        Fill(prefix);
        int count = (int)Math.Min(
            BinaryPrimitives.ReadUInt32LittleEndian(prefix),
            (uint)(header.Length - ImageFormat.RunsPrefixSize) / ImageFormat.RunSize);
        byte[] table = new byte[count * ImageFormat.RunSize];
        Fill(table);
        for (int i = 0; i < count; i++)
        {
            PfnRun run = RecordDecoder.ReadRun(table.AsSpan(i * ImageFormat.RunSize), out RunClass @class);
            if (run.First >= 0 && run.Count > 0 && run.Count <= Header.UnitCount && run.First <= Header.UnitCount - run.Count)
            {
                runs.Add((run, @class));
            }
        }

        return header.Length - ImageFormat.RunsPrefixSize - table.Length;
    }

    /// <summary>Forgets which records were read out of order, so that all can be read again.</summary>
    internal void Restart() => _decoder = new RecordDecoder(Header, _file);

    /// <summary>After all records were read out of order, each once: compares what they held with the totals.</summary>
    /// <exception cref="ImageCorruptException">They differ.</exception>
    internal void CheckTotals()
    {
        long end = Trailer!.Totals.FileLength - ImageFormat.EndSize;
        if (Trailer.Totals != _decoder.Totals with { Records = _records, FileLength = Trailer.Totals.FileLength })
        {
            throw new ImageCorruptException(_file, end, "the records hold something else than the totals say");
        }

        _decoder.CheckEnd(end);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _digest.Dispose();
    }

    private RecordHeader ReadHeader()
    {
        Fill(_recordHeader);
        RecordHeader header = RecordHeader.Decode(_recordHeader, _file, _offset);
        _offset += ImageFormat.RecordHeaderSize;
        return header;
    }

    // On return, or when a checksum does not match, the next record can be read.
    private ReadOnlySpan<byte> ReadPayload(RecordHeader header)
    {
        if (_payload.Length < header.Length)
        {
            _payload = new byte[header.Length];
        }

        Span<byte> payload = _payload.AsSpan(0, header.Length);
        Fill(payload);
        long start = _offset - ImageFormat.RecordHeaderSize;
        _offset += header.Length;
        CanGoOn = true;
        if (!header.Matches(_recordHeader, payload))
        {
            Count(header);
            throw new ImageCorruptException(_file, start, "a record does not match its checksum");
        }

        return payload;
    }

    private void Count(RecordHeader header)
    {
        _rolling = Crc32C.Append(_rolling, header.Checksum);
        _digest.Add(_recordHeader);
        _records++;
    }

    private void End(RecordHeader header, ReadOnlySpan<byte> payload, long start)
    {
        long at = start + ImageFormat.RecordHeaderSize;
        if (header.Flags != 0)
        {
            throw new ImageCorruptException(_file, start + 2, "the END record is marked as optional");
        }

        ImageTrailer trailer = ImageTrailer.Decode(payload, _file, at);
        ImageTotals units = _scanned || IgnoreTotals ? trailer.Totals : _decoder.Totals;
        if (trailer.Totals != units with { Records = _records, FileLength = _offset } || trailer.Rolling != _rolling)
        {
            throw new ImageCorruptException(_file, at, "records are missing, added or in another order than written");
        }

        if (!_scanned && !IgnoreTotals)
        {
            _decoder.CheckEnd(start);
        }

        if (_stream.ReadByte() >= 0)
        {
            throw new ImageCorruptException(_file, _offset, "the file goes on behind its END record");
        }

        _digest.Add(_recordHeader);
        _digest.Add(payload);
        Digest = _digest.Current();
        Trailer = trailer;
    }

    private void Fill(Span<byte> destination)
    {
        int read = _stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        if (read < destination.Length)
        {
            throw new ImageCorruptException(_file, _offset + read, "the file ends inside a record or before END");
        }
    }
}
