using System.Buffers.Binary;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>One record in the making: a prefix (run table, or a blob's name), and data that is compressed with it.
/// </summary>
/// <remarks>Its buffers are allocated once and used for record after record.</remarks>
internal sealed class Batch
{
    // A run table of 64 KiB: single scattered zero pages fill it before they fill the data area, and
    // the record is then written early.
    private const int MaxRuns = 4096;

    private const int EncodingOffset = 4;
    private const int PrefixCapacity = ImageFormat.RunsPrefixSize + (MaxRuns * ImageFormat.RunSize);

    private readonly byte[] _data;

    // Header, prefix and data of the finished record.
    private readonly byte[] _record;
    private int _prefix;
    private int _runs;
    private RunClass _class;
    private PfnRun _last;
    private int _length;

    internal Batch(int dataCapacity)
    {
        _data = new byte[dataCapacity];
        _record = new byte[ImageFormat.RecordHeaderSize + PrefixCapacity + dataCapacity];
        Clear();
    }

    internal RecordType Type { get; private set; }

    internal int DataLength { get; private set; }

    internal int Capacity => _data.Length;

    internal bool IsEmpty => _prefix == ImageFormat.RunsPrefixSize && Type == RecordType.Runs;

    internal uint Checksum { get; private set; }

    /// <summary>The finished record.</summary>
    internal ReadOnlySpan<byte> Record => _record.AsSpan(0, _length);

    private Span<byte> Prefix => _record.AsSpan(ImageFormat.RecordHeaderSize);

    internal void Clear()
    {
        Type = RecordType.Runs;
        DataLength = 0;
        _prefix = ImageFormat.RunsPrefixSize;
        _runs = 0;
        _last = default;
    }

    /// <summary>Adds a run without data, or lengthens the last one.</summary>
    /// <returns>False where the run table is full.</returns>
    internal bool TryAdd(PfnRun run, RunClass @class)
    {
        if (_runs > 0 && @class == _class && run.First == _last.End
            && run.Count <= ImageFormat.MaxRunUnits - _last.Count)
        {
            _last = _last with { Count = _last.Count + run.Count };
            BinaryPrimitives.WriteUInt32LittleEndian(Prefix[(_prefix - 8)..], (uint)_last.Count);
            return true;
        }

        if (_runs == MaxRuns)
        {
            return false;
        }

        Span<byte> entry = Prefix.Slice(_prefix, ImageFormat.RunSize);
        BinaryPrimitives.WriteUInt64LittleEndian(entry, (ulong)run.First);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[8..], (uint)run.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[12..], (uint)@class);
        _prefix += ImageFormat.RunSize;
        _runs++;
        _last = run;
        _class = @class;
        return true;
    }

    /// <summary>Adds as many whole units of a run as there is room for.</summary>
    /// <returns>How many were added.</returns>
    internal int Add(long first, ReadOnlySpan<byte> units, int unitSize)
    {
        int count = Math.Min(units.Length, _data.Length - DataLength) / unitSize;
        if (count == 0 || !TryAdd(new PfnRun(first, count), RunClass.Data))
        {
            return 0;
        }

        units[..(count * unitSize)].CopyTo(_data.AsSpan(DataLength));
        DataLength += count * unitSize;
        return count;
    }

    /// <summary>Makes this a part of a blob. The data is filled through <see cref="Room"/>.</summary>
    internal void SetBlob(ReadOnlySpan<byte> name, uint part, bool last)
    {
        Type = RecordType.Blob;
        Span<byte> p = Prefix;
        BinaryPrimitives.WriteUInt16LittleEndian(p, (ushort)name.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(p[2..], last ? (ushort)1 : (ushort)0);
        BinaryPrimitives.WriteUInt32LittleEndian(p[8..], (uint)DataLength);
        BinaryPrimitives.WriteUInt32LittleEndian(p[12..], part);
        name.CopyTo(p[ImageFormat.BlobPrefixSize..]);
        _prefix = ImageFormat.BlobPrefixSize + name.Length;
    }

    /// <summary>The data area, for a caller that fills it itself.</summary>
    internal Span<byte> Room(int length)
    {
        DataLength = length;
        return _data.AsSpan(0, length);
    }

    internal void SetDisk(ReadOnlySpan<byte> payload)
    {
        Type = RecordType.Disk;
        payload.CopyTo(Prefix);
        _prefix = payload.Length;
    }

    /// <summary>Compresses and seals the record. May run on another thread than the one that filled it.</summary>
    internal void Finish(ImageCompression compression)
    {
        int start = ImageFormat.RecordHeaderSize + _prefix;
        ReadOnlySpan<byte> data = _data.AsSpan(0, DataLength);

        // One byte less than the data: a block that does not shrink does not fit.
        int stored = compression == ImageCompression.Lz4 && DataLength > 1
            ? Lz4.Compress(data, _record.AsSpan(start, DataLength - 1))
            : 0;
        DataEncoding encoding = stored > 0 ? DataEncoding.Lz4 : DataEncoding.Raw;
        if (encoding == DataEncoding.Raw)
        {
            data.CopyTo(_record.AsSpan(start));
            stored = DataLength;
        }

        if (Type == RecordType.Runs)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(Prefix, (uint)_runs);
        }

        if (Type != RecordType.Disk)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(Prefix[EncodingOffset..], (uint)encoding);
        }

        _length = start + stored;
        Checksum = RecordHeader.Seal(_record.AsSpan(0, _length), Type);
    }
}
