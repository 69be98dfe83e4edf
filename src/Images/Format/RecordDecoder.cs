using System.Buffers.Binary;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Decodes payloads that match their checksums: what is wrong here was written so.</summary>
internal sealed class RecordDecoder
{
    private readonly ImageHeader _header;
    private readonly string _file;
    private readonly HashSet<string> _blobs = new(StringComparer.Ordinal);

    // Grows with the records, to MaxData at most.
    private byte[] _data = [];
    private string? _openBlob;
    private uint _nextPart;
    private DiskInfo? _disk;
    private long _dataUnits;
    private long _zeroUnits;
    private long _unpopulatedUnits;
    private long _blobBytes;

    internal RecordDecoder(ImageHeader header, string file)
    {
        _header = header;
        _file = file;
    }

    /// <summary>What the records decoded so far hold.</summary>
    internal ImageTotals Totals => new()
    {
        DataUnits = _dataUnits,
        ZeroUnits = _zeroUnits,
        UnpopulatedUnits = _unpopulatedUnits,
        BlobBytes = _blobBytes,
    };

    internal void Decode(
        RecordHeader header, ReadOnlySpan<byte> payload, long start, ImageVisitor visitor, bool backwards = false)
    {
        long at = start + ImageFormat.RecordHeaderSize;
        if (header.Type != RecordType.Disk && !backwards)
        {
            RequireDisk(start);
        }

        switch (header.Type)
        {
            case RecordType.Runs or RecordType.Blob or RecordType.Disk when header.IsOptional:
                throw Corrupt(start + 2, "a record that is never optional is marked as optional");
            case RecordType.Runs when _header.HasUnits:
                DecodeRuns(payload, at, visitor, backwards);
                break;
            case RecordType.Blob when !_header.HasUnits:
                DecodeBlob(payload, at, visitor);
                break;
            case RecordType.Disk when _header.NeedsDisk && (_disk is null || backwards):
                DecodeDisk(payload, at, visitor);
                break;
            case RecordType.Runs or RecordType.Blob or RecordType.Disk:
                throw Corrupt(start, $"a {header.Type} record has no place here in an image of {_header.Content}");
            default:
                if (!header.IsOptional)
                {
                    throw new ImageUnsupportedException(
                        _file, start, $"a record of type {(ushort)header.Type} must be understood and is not known");
                }

                break;
        }
    }

    /// <summary>Checks that nothing is missing before END.</summary>
    internal void CheckEnd(long start)
    {
        RequireDisk(start);
        if (_openBlob is not null)
        {
            throw Corrupt(start, $"the last part of blob {_openBlob} is missing");
        }
    }

    private void DecodeRuns(ReadOnlySpan<byte> p, long at, ImageVisitor visitor, bool backwards)
    {
        uint count = p.Length < ImageFormat.RunsPrefixSize ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(p);
        if (count is 0 or > ImageFormat.MaxRuns
            || p.Length < ImageFormat.RunsPrefixSize + ((int)count * ImageFormat.RunSize))
        {
            throw Corrupt(at, $"a run table of {count} runs is not possible");
        }

        ReadOnlySpan<byte> table = p.Slice(ImageFormat.RunsPrefixSize, (int)count * ImageFormat.RunSize);
        long dataUnits = CheckRuns(table, at + ImageFormat.RunsPrefixSize);
        if (dataUnits > ImageFormat.MaxData / _header.UnitSize)
        {
            throw Corrupt(at, $"{dataUnits} units of data in one record are not possible");
        }

        int end = ImageFormat.RunsPrefixSize + table.Length;
        ReadOnlySpan<byte> data = Unpack(
            BinaryPrimitives.ReadUInt32LittleEndian(p[4..]), p[end..], dataUnits * _header.UnitSize, at + end);
        int position = backwards ? data.Length : 0;
        for (int i = 0; i < count; i++)
        {
            int entry = (backwards ? (int)count - 1 - i : i) * ImageFormat.RunSize;
            PfnRun run = ReadRun(table[entry..], out RunClass @class);
            switch (@class)
            {
                case RunClass.Data:
                    int length = run.Count * _header.UnitSize;
                    position -= backwards ? length : 0;
                    CheckTail(run, data.Slice(position, length), at + ImageFormat.RunsPrefixSize + entry);
                    visitor.OnData(run, data.Slice(position, length));
                    position += backwards ? 0 : length;
                    _dataUnits += run.Count;
                    break;
                case RunClass.Zero:
                    visitor.OnZero(run);
                    _zeroUnits += run.Count;
                    break;
                default:
                    visitor.OnUnpopulated(run);
                    _unpopulatedUnits += run.Count;
                    break;
            }
        }
    }

    // The number of units with data.
    private long CheckRuns(ReadOnlySpan<byte> table, long at)
    {
        long dataUnits = 0;
        for (int entry = 0; entry < table.Length; entry += ImageFormat.RunSize)
        {
            ulong first = BinaryPrimitives.ReadUInt64LittleEndian(table[entry..]);
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(table[(entry + 8)..]);
            uint @class = BinaryPrimitives.ReadUInt32LittleEndian(table[(entry + 12)..]);
            if (count is 0 or > ImageFormat.MaxRunUnits || count > (ulong)_header.UnitCount
                || first > (ulong)_header.UnitCount - count)
            {
                throw Corrupt(at + entry, $"a run of {count} units from {first} is outside of the image's units");
            }

            // Blocks of a device always exist.
            if (@class > (uint)(_header.NeedsDisk ? RunClass.Zero : RunClass.Unpopulated))
            {
                throw Corrupt(at + entry + 12, $"class {@class} of a run is not possible here");
            }

            dataUnits += @class == (uint)RunClass.Data ? count : 0;
        }

        return dataUnits;
    }

    private void CheckTail(PfnRun run, ReadOnlySpan<byte> data, long at)
    {
        if (run.End == _header.UnitCount && _disk?.HasZeroTail(data, _header.UnitSize) == false)
        {
            throw Corrupt(at, "the last block is not zero behind the end of the device");
        }
    }

    /// <summary>Reads an entry of a run table.</summary>
    internal static PfnRun ReadRun(ReadOnlySpan<byte> entry, out RunClass @class)
    {
        @class = (RunClass)BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]);
        return new PfnRun(
            (long)BinaryPrimitives.ReadUInt64LittleEndian(entry),
            (int)BinaryPrimitives.ReadUInt32LittleEndian(entry[8..]));
    }

    private void DecodeBlob(ReadOnlySpan<byte> p, long at, ImageVisitor visitor)
    {
        const int Prefix = ImageFormat.BlobPrefixSize;
        int nameLength = p.Length < Prefix ? 0 : BinaryPrimitives.ReadUInt16LittleEndian(p);
        if (nameLength is 0 or > ImageFormat.MaxNameLength || p.Length < Prefix + nameLength
            || !Names.TryDecode(p.Slice(Prefix, nameLength), out string name))
        {
            throw Corrupt(at, "the name of a blob is not possible");
        }

        ushort flags = BinaryPrimitives.ReadUInt16LittleEndian(p[2..]);
        uint part = BinaryPrimitives.ReadUInt32LittleEndian(p[12..]);
        if (flags > 1)
        {
            throw Corrupt(at + 2, "a reserved flag of a blob is set");
        }

        if (_blobs.Count == ImageFormat.MaxBlobs && part == 0)
        {
            throw Corrupt(at, $"there are more than {ImageFormat.MaxBlobs} blobs");
        }

        if (_header.NeedsDisk && (!Names.TryParseId(name, out Guid layer) || layer == Guid.Empty))
        {
            throw Corrupt(at, $"a layer is not called {name}");
        }

        if (_openBlob is null ? part != 0 || !_blobs.Add(name) : part != _nextPart || name != _openBlob)
        {
            throw Corrupt(at, $"part {part} of blob {name} has no place here");
        }

        int end = Prefix + nameLength;
        ReadOnlySpan<byte> data = Unpack(
            BinaryPrimitives.ReadUInt32LittleEndian(p[4..]), p[end..],
            BinaryPrimitives.ReadUInt32LittleEndian(p[8..]), at + end);
        bool last = flags == 1;
        _openBlob = last ? null : name;
        _nextPart = part + 1;
        _blobBytes += data.Length;
        visitor.OnBlob(name, data, last);
    }

    private void DecodeDisk(ReadOnlySpan<byte> payload, long at, ImageVisitor visitor)
    {
        _disk = DiskInfo.Decode(payload, _file, at);
        if (_disk.Problem(_header) is { } problem)
        {
            throw Corrupt(at, problem);
        }

        visitor.OnDisk(_disk);
    }

    private ReadOnlySpan<byte> Unpack(uint encoding, ReadOnlySpan<byte> stored, long length, long at)
    {
        if (length > ImageFormat.MaxData)
        {
            throw Corrupt(at, $"{length} bytes of data in one record are not possible");
        }

        if (encoding == (uint)DataEncoding.Raw)
        {
            return stored.Length == length
                ? stored
                : throw Corrupt(at, $"{stored.Length} bytes are stored where {length} belong");
        }

        if (encoding != (uint)DataEncoding.Lz4 || _header.Compression != ImageCompression.Lz4
            || stored.Length >= length)
        {
            throw Corrupt(at, $"encoding {encoding} of {stored.Length} bytes is not possible here");
        }

        if (_data.Length < length)
        {
            _data = new byte[length];
        }

        Span<byte> data = _data.AsSpan(0, (int)length);
        return Lz4.TryDecompress(stored, data)
            ? data
            : throw Corrupt(at, "a compressed block breaks the rules of LZ4, or holds something else than belongs there");
    }

    private void RequireDisk(long start)
    {
        if (_header.NeedsDisk && _disk is null)
        {
            throw Corrupt(start, "an image of a disk does not begin with its disk");
        }
    }

    private ImageCorruptException Corrupt(long offset, string problem) => new(_file, offset, problem);
}
