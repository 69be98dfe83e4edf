namespace XenTwoLevelCkpt.XlStream;

/// <summary>Knows which libxc records may follow which, and what must have come before END.</summary>
internal sealed class RecordOrder(XlGuestKind kind)
{
    private const uint Once =
        (1u << (int)LibxcRecordType.PvInfo) | (1u << (int)LibxcRecordType.PvP2mFrames)
        | (1u << (int)LibxcRecordType.SharedInfo) | (1u << (int)LibxcRecordType.TscInfo)
        | (1u << (int)LibxcRecordType.HvmContext) | (1u << (int)LibxcRecordType.HvmParams)
        | (1u << (int)LibxcRecordType.StaticDataEnd) | (1u << (int)LibxcRecordType.CpuidPolicy)
        | (1u << (int)LibxcRecordType.MsrPolicy);

    // The parts seen of each virtual CPU, one bit each.
    private readonly Dictionary<uint, int> _vcpus = [];

    private uint _seen;

    internal XlGuestKind Kind => kind;

    /// <summary>Bytes of a PV guest's word; known once X86_PV_INFO was read.</summary>
    internal byte GuestWidth { get; set; }

    /// <summary>The highest PFN that the guest can have.</summary>
    internal long LastPfn { get; set; } = LibxcFormat.PfnLimit - 1;

    /// <summary>True once VERIFY was read.</summary>
    internal bool IsVerifying => Seen(LibxcRecordType.Verify);

    /// <summary>Accepts the next record.</summary>
    /// <returns>False for one that is to be skipped.</returns>
    internal bool Accept(RecordHead head)
    {
        var type = (LibxcRecordType)head.Type;
        bool known = type switch
        {
            LibxcRecordType.Toolstack or LibxcRecordType.Checkpoint or LibxcRecordType.CheckpointDirtyPfnList => false,
            LibxcRecordType.HvmContext or LibxcRecordType.HvmParams => kind == XlGuestKind.Hvm,
            LibxcRecordType.PvInfo or LibxcRecordType.PvP2mFrames or LibxcRecordType.SharedInfo
                or LibxcRecordType.PvVcpuBasic or LibxcRecordType.PvVcpuExtended or LibxcRecordType.PvVcpuXsave
                or LibxcRecordType.PvVcpuMsrs => kind == XlGuestKind.Pv,
            _ => Enum.IsDefined(type),
        };
        if (!known)
        {
            return (head.Type & LibxcFormat.OptionalBit) != 0
                ? false
                : throw new XlStreamException(
                    head.Offset, $"a record of a plain stream of kind {kind}",
                    $"mandatory record 0x{head.Type:x} ({type})");
        }

        uint bit = 1u << (int)type;
        if ((_seen & bit & Once) != 0)
        {
            throw new XlStreamException(head.Offset, "another record", $"{type} for the second time");
        }

        if (Missing(type) is { } missing)
        {
            throw new XlStreamException(head.Offset, missing, $"{type}");
        }

        _seen |= bit;
        return true;
    }

    /// <summary>Accepts a part of a virtual CPU: its basic state first, each part once. A receiver demands less;
    /// libxc writes it so, and a virtual CPU without registers is no state.</summary>
    internal void Accept(uint vcpu, XlVcpuPart part, long offset)
    {
        int seen = _vcpus.GetValueOrDefault(vcpu);
        if (part != XlVcpuPart.Basic && seen == 0)
        {
            throw new XlStreamException(offset, $"the basic state of virtual CPU {vcpu}", $"{part} state");
        }

        if ((seen & (1 << (int)part)) != 0)
        {
            throw new XlStreamException(
                offset, "another record", $"{part} state of virtual CPU {vcpu} for the second time");
        }

        _vcpus[vcpu] = seen | (1 << (int)part);
    }

    /// <summary>What should be in the place of a record of this type; null where it may be here.</summary>
    private string? Missing(LibxcRecordType type)
    {
        switch (type)
        {
            case LibxcRecordType.PvInfo or LibxcRecordType.CpuidPolicy or LibxcRecordType.MsrPolicy:
                return Seen(LibxcRecordType.StaticDataEnd) ? "no static data after StaticDataEnd" : null;
            case LibxcRecordType.StaticDataEnd:
                return Unless(LibxcRecordType.PvInfo, XlGuestKind.Pv);
            case LibxcRecordType.PageData or LibxcRecordType.Verify:
                return Unless(LibxcRecordType.StaticDataEnd) ?? Unless(LibxcRecordType.PvP2mFrames, XlGuestKind.Pv);
            case LibxcRecordType.End:
                return Unless(LibxcRecordType.StaticDataEnd)
                    ?? Unless(LibxcRecordType.TscInfo)
                    ?? Unless(LibxcRecordType.HvmContext, XlGuestKind.Hvm)
                    ?? Unless(LibxcRecordType.PvP2mFrames, XlGuestKind.Pv)
                    ?? Unless(LibxcRecordType.SharedInfo, XlGuestKind.Pv)
                    ?? (kind == XlGuestKind.Hvm || _vcpus.ContainsKey(0) ? null : "the state of virtual CPU 0");
            default:
                return Unless(LibxcRecordType.StaticDataEnd);
        }
    }

    private string? Unless(LibxcRecordType before, XlGuestKind? only = null) =>
        Seen(before) || (only is not null && only != kind) ? null : $"{before} before it";

    private bool Seen(LibxcRecordType type) => (_seen & (1u << (int)type)) != 0;
}
