using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Writes headers and records to a stream and counts the bytes.</summary>
internal sealed class RecordOutput(Stream stream)
{
    // The two headers of PAGE_DATA and its PFNs: what goes out in one piece before the pages.
    private readonly byte[] _pageHeader = new byte[
        LibxcFormat.RecordHeaderSize + LibxcFormat.PageDataHeaderSize + (sizeof(ulong) * LibxcFormat.BatchSize)];

    private int _pfns;

    /// <summary>Bytes written.</summary>
    internal long Length { get; private set; }

    /// <summary>PFNs that can still be added to the PAGE_DATA record in the making.</summary>
    internal int PageRoom => LibxcFormat.BatchSize - _pfns;

    internal void Raw(ReadOnlySpan<byte> bytes)
    {
        stream.Write(bytes);
        Length += bytes.Length;
    }

    internal void Record(uint type, ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        int length = head.Length + body.Length;
        Span<byte> header = stackalloc byte[LibxcFormat.RecordHeaderSize];
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], (uint)length);
        Raw(header);
        Raw(head);
        Raw(body);
        ReadOnlySpan<byte> padding = [0, 0, 0, 0, 0, 0, 0];
        Raw(padding[..(-length & (LibxcFormat.Alignment - 1))]);
    }

    internal void Record(LibxcRecordType type, ReadOnlySpan<byte> body = default) => Record((uint)type, [], body);

    /// <summary>Adds a PFN to the PAGE_DATA record in the making; there must be room.</summary>
    internal void AddPage(long pfn, XlPageType type)
    {
        int at = LibxcFormat.RecordHeaderSize + LibxcFormat.PageDataHeaderSize + (_pfns++ * sizeof(ulong));
        BinaryPrimitives.WriteUInt64LittleEndian(
            _pageHeader.AsSpan(at), ((ulong)type << LibxcFormat.PageTypeShift) | (ulong)pfn);
    }

    /// <summary>Writes the PAGE_DATA record of the PFNs that were added.</summary>
    internal void FlushPages(ReadOnlySpan<byte> data)
    {
        int head = LibxcFormat.PageDataHeaderSize + (_pfns * sizeof(ulong));
        BinaryPrimitives.WriteUInt32LittleEndian(_pageHeader, (uint)LibxcRecordType.PageData);
        BinaryPrimitives.WriteUInt32LittleEndian(_pageHeader.AsSpan(4), (uint)(head + data.Length));
        BinaryPrimitives.WriteUInt32LittleEndian(_pageHeader.AsSpan(8), (uint)_pfns);
        _pfns = 0;
        Raw(_pageHeader.AsSpan(0, LibxcFormat.RecordHeaderSize + head));
        Raw(data);
    }

    internal void Flush() => stream.Flush();
}
