using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Reads the libxc records other than PAGE_DATA, checks them, and passes them on.</summary>
internal sealed class RecordDecoder(StreamInput input, XlVisitor visitor, RecordOrder order)
{
    internal void Read(RecordHead head)
    {
        var type = (LibxcRecordType)head.Type;
        switch (type)
        {
            case LibxcRecordType.End or LibxcRecordType.StaticDataEnd or LibxcRecordType.Verify:
                Length(head, 0);
                break;
            case LibxcRecordType.CpuidPolicy:
                visitor.OnCpuidPolicy(Array(head, LibxcFormat.CpuidLeafSize));
                break;
            case LibxcRecordType.MsrPolicy:
                visitor.OnMsrPolicy(Array(head, LibxcFormat.MsrEntrySize));
                break;
            case LibxcRecordType.PvInfo:
                PvInfo(head);
                break;
            case LibxcRecordType.PvP2mFrames:
                P2mFrames(head);
                break;
            case LibxcRecordType.TscInfo:
                Tsc(head);
                break;
            case LibxcRecordType.SharedInfo:
                Length(head, LibxcFormat.PageSize);
                visitor.OnSharedInfo(Body(head));
                break;
            case LibxcRecordType.HvmParams:
                HvmParams(head);
                break;
            case LibxcRecordType.HvmContext:
                StreamInput.Demand(head.Length > 0, head.Offset, "an HVM context", "an empty one");
                visitor.OnHvmContext(Body(head));
                break;
            case LibxcRecordType.PvVcpuBasic or LibxcRecordType.PvVcpuExtended or LibxcRecordType.PvVcpuXsave
                or LibxcRecordType.PvVcpuMsrs:
                Vcpu(head, type.Part());
                break;
            default:
                throw new InvalidOperationException($"{type} is accepted and not read.");
        }
    }

    private static void Length(RecordHead head, int expected) => StreamInput.Demand(
        head.Length == expected, head.Offset, $"{(LibxcRecordType)head.Type} of {expected} bytes", $"{head.Length}");

    private static void AtLeast(RecordHead head, int expected) => StreamInput.Demand(
        head.Length >= expected, head.Offset, $"{(LibxcRecordType)head.Type} of {expected} bytes or more",
        $"{head.Length}");

    private ReadOnlySpan<byte> Body(RecordHead head) => input.ReadBody(head.Length, $"{(LibxcRecordType)head.Type}");

    private ReadOnlySpan<byte> Array(RecordHead head, int element)
    {
        StreamInput.Demand(
            head.Length > 0 && head.Length % element == 0, head.Offset,
            $"{(LibxcRecordType)head.Type} of elements of {element} bytes", $"{head.Length} bytes");
        return Body(head);
    }

    private void PvInfo(RecordHead head)
    {
        Length(head, LibxcFormat.PvInfoSize);
        long at = input.Offset;
        ReadOnlySpan<byte> body = Body(head);
        (byte width, byte levels) = (body[0], body[1]);
        StreamInput.Demand(
            XlPvState.IsWidth(width, levels), at, "a guest width of 4 with 3 levels, or of 8 with 4",
            $"{width} with {levels}");
        StreamInput.Demand(body[2..].IndexOfAnyExcept((byte)0) < 0, at + 2, "reserved bytes of zero", "others");
        order.GuestWidth = width;
        visitor.OnPvInfo(width, levels);
    }

    private void P2mFrames(RecordHead head)
    {
        AtLeast(head, LibxcFormat.P2mHeaderSize);
        long at = input.Offset;
        ReadOnlySpan<byte> body = Body(head);
        uint first = BinaryPrimitives.ReadUInt32LittleEndian(body);
        uint last = BinaryPrimitives.ReadUInt32LittleEndian(body[4..]);
        StreamInput.Demand(first <= last, at, "a first PFN that is not above the last", $"0x{first:x}, 0x{last:x}");
        long count = XlP2mFrames.FrameCount(first, last, order.GuestWidth);
        ReadOnlySpan<byte> list = body[LibxcFormat.P2mHeaderSize..];
        StreamInput.Demand(
            list.Length == count * sizeof(ulong), head.Offset, $"{count} p2m frames for the PFNs 0x{first:x} to 0x{last:x}",
            $"{list.Length} bytes of them");
        long[] frames = new long[count];
        for (int i = 0; i < frames.Length; i++)
        {
            ulong pfn = BinaryPrimitives.ReadUInt64LittleEndian(list[(i * sizeof(ulong))..]);
            frames[i] = pfn <= last
                ? (long)pfn
                : throw new XlStreamException(
                    at + LibxcFormat.P2mHeaderSize + ((long)i * sizeof(ulong)), $"a PFN up to 0x{last:x}", $"0x{pfn:x}");
        }

        order.LastPfn = last;
        visitor.OnP2mFrames(new XlP2mFrames(first, last, frames));
    }

    private void Tsc(RecordHead head)
    {
        Length(head, LibxcFormat.TscSize);
        long at = input.Offset;
        ReadOnlySpan<byte> body = Body(head);
        StreamInput.Demand<uint>(BinaryPrimitives.ReadUInt32LittleEndian(body[20..]), 0, at + 20, "a reserved field");
        visitor.OnTsc(new XlTsc(
            BinaryPrimitives.ReadUInt32LittleEndian(body),
            BinaryPrimitives.ReadUInt64LittleEndian(body[8..]),
            BinaryPrimitives.ReadUInt32LittleEndian(body[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(body[16..])));
    }

    private void HvmParams(RecordHead head)
    {
        AtLeast(head, LibxcFormat.HvmParamsHeaderSize);
        long at = input.Offset;
        ReadOnlySpan<byte> body = Body(head);
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(body);
        StreamInput.Demand<uint>(BinaryPrimitives.ReadUInt32LittleEndian(body[4..]), 0, at + 4, "a reserved field");
        ReadOnlySpan<byte> list = body[LibxcFormat.HvmParamsHeaderSize..];
        StreamInput.Demand(
            list.Length == (long)count * LibxcFormat.HvmParamSize, at, $"{list.Length / LibxcFormat.HvmParamSize} parameters",
            $"{count}");
        var values = new Dictionary<uint, ulong>();
        for (int i = 0; i < list.Length; i += LibxcFormat.HvmParamSize)
        {
            ulong index = BinaryPrimitives.ReadUInt64LittleEndian(list[i..]);
            ulong value = BinaryPrimitives.ReadUInt64LittleEndian(list[(i + 8)..]);
            StreamInput.Demand(
                index <= uint.MaxValue && values.TryAdd((uint)index, value), at + 8 + i, "another HVM parameter",
                $"index 0x{index:x}");
        }

        // Old savers wrote empty records (errata of the specification).
        if (values.Count > 0)
        {
            visitor.OnHvmParams(values);
        }
    }

    private void Vcpu(RecordHead head, XlVcpuPart part)
    {
        AtLeast(head, LibxcFormat.VcpuHeaderSize);
        long at = input.Offset;
        ReadOnlySpan<byte> body = Body(head);
        uint id = BinaryPrimitives.ReadUInt32LittleEndian(body);
        StreamInput.Demand(id < LibxcFormat.MaxVcpus, at, $"a virtual CPU below {LibxcFormat.MaxVcpus}", $"{id}");
        StreamInput.Demand<uint>(BinaryPrimitives.ReadUInt32LittleEndian(body[4..]), 0, at + 4, "a reserved field");
        ReadOnlySpan<byte> context = body[LibxcFormat.VcpuHeaderSize..];

        // Empty ones are in the specification's errata, too.
        if (context.IsEmpty)
        {
            return;
        }

        StreamInput.Demand(
            VcpuParts.IsLength(part, context.Length, order.GuestWidth), head.Offset,
            $"{part} state of {VcpuParts.Lengths(part, order.GuestWidth)} bytes", $"{context.Length}");
        order.Accept(id, part, head.Offset);
        visitor.OnVcpu(id, part, context);
    }
}
