using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Reads PAGE_DATA records and passes their pages on, batch by batch, in buffers that it keeps.</summary>
internal sealed class PageDecoder(StreamInput input, XlVisitor visitor, RecordOrder order)
{
    private readonly long[] _pfns = new long[LibxcFormat.BatchSize];
    private readonly XlPageType[] _types = new XlPageType[LibxcFormat.BatchSize];
    private byte[] _entries = [];
    private byte[] _data = [];

    internal void Read(RecordHead head)
    {
        Span<byte> header = stackalloc byte[LibxcFormat.PageDataHeaderSize];
        long at = input.Offset;
        if (head.Length < header.Length)
        {
            throw new XlStreamException(head.Offset, "a PAGE_DATA record of 8 bytes or more", $"{head.Length}");
        }

        input.Read(header, "the header of PAGE_DATA");
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(header);
        if (count is 0 or > LibxcFormat.MaxPfnsInRecord)
        {
            throw new XlStreamException(at, $"1 to {LibxcFormat.MaxPfnsInRecord} PFNs", $"{count}");
        }

        StreamInput.Demand<uint>(BinaryPrimitives.ReadUInt32LittleEndian(header[4..]), 0, at + 4, "a reserved field");

        int size = (int)count * sizeof(ulong);
        int left = head.Length - header.Length - size;
        if (left < 0)
        {
            throw new XlStreamException(head.Offset, $"room for {count} PFNs", $"a record of {head.Length} bytes");
        }

        Reserve(ref _entries, size);
        at = input.Offset;
        ReadOnlySpan<byte> entries = _entries.AsSpan(0, size);
        input.Read(_entries.AsSpan(0, size), "the PFNs of PAGE_DATA");
        long pages = CountPages(entries, at);
        if (left != pages * LibxcFormat.PageSize)
        {
            throw new XlStreamException(head.Offset, $"{pages} pages in the record", $"{left} bytes for them");
        }

        for (int done = 0; done < count; done += LibxcFormat.BatchSize)
        {
            int batch = Math.Min((int)count - done, LibxcFormat.BatchSize);
            PassOn(entries.Slice(done * sizeof(ulong), batch * sizeof(ulong)), batch);
        }
    }

    private static (long Pfn, XlPageType Type) Entry(ReadOnlySpan<byte> entries, int index)
    {
        ulong entry = BinaryPrimitives.ReadUInt64LittleEndian(entries[(index * sizeof(ulong))..]);
        return ((long)(entry & (ulong.MaxValue >> 4)), (XlPageType)(entry >> LibxcFormat.PageTypeShift));
    }

    // No smaller than twice what there was: a few growths, then never again.
    private static void Reserve(ref byte[] buffer, int size)
    {
        if (buffer.Length < size)
        {
            buffer = new byte[Math.Max(size, Math.Min(2 * buffer.Length, LibxcFormat.BatchSize * LibxcFormat.PageSize))];
        }
    }

    private long CountPages(ReadOnlySpan<byte> entries, long offset)
    {
        long pages = 0;
        for (int i = 0; i < entries.Length / sizeof(ulong); i++)
        {
            // The reserved bits are still in the PFN, and put it out of range.
            (long pfn, XlPageType type) = Entry(entries, i);
            if (pfn > order.LastPfn || !type.IsKnown())
            {
                throw new XlStreamException(
                    offset + (i * sizeof(ulong)), $"a PFN up to 0x{order.LastPfn:x} of a known type",
                    $"PFN 0x{pfn:x} of type 0x{(int)type:x}");
            }

            pages += type.HasContents() ? 1 : 0;
        }

        return pages;
    }

    private void PassOn(ReadOnlySpan<byte> entries, int count)
    {
        int size = 0;
        for (int i = 0; i < count; i++)
        {
            (_pfns[i], _types[i]) = Entry(entries, i);
            size += _types[i].HasContents() ? LibxcFormat.PageSize : 0;
        }

        Reserve(ref _data, size);
        input.Read(_data.AsSpan(0, size), "the pages of PAGE_DATA");
        if (!order.IsVerifying)
        {
            visitor.OnPages(_pfns.AsSpan(0, count), _types.AsSpan(0, count), _data.AsSpan(0, size));
        }
    }
}
