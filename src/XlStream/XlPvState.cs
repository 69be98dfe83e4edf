namespace XenTwoLevelCkpt.XlStream;

/// <summary>State of a PV guest beside its memory: the records of <c>xc_domain_save</c> as they are, with PFNs in the
/// place of machine frames.</summary>
/// <param name="GuestWidth">X86_PV_INFO: bytes of a guest's word, 4 or 8.</param>
/// <param name="PageTableLevels">X86_PV_INFO: 3 for a width of 4, 4 for one of 8.</param>
/// <param name="CpuidPolicy">X86_CPUID_POLICY: an array of <c>xen_cpuid_leaf_t</c>, 24 bytes each; may be empty.</param>
/// <param name="MsrPolicy">X86_MSR_POLICY: an array of <c>xen_msr_entry_t</c>, 16 bytes each; may be empty.</param>
/// <param name="P2m">X86_PV_P2M_FRAMES.</param>
/// <param name="Tsc">X86_TSC_INFO.</param>
/// <param name="SharedInfo">SHARED_INFO: the shared info page, 4096 bytes.</param>
/// <param name="Vcpus">The virtual CPUs that are online, virtual CPU 0 among them.</param>
public sealed record XlPvState(
    byte GuestWidth,
    byte PageTableLevels,
    ReadOnlyMemory<byte> CpuidPolicy,
    ReadOnlyMemory<byte> MsrPolicy,
    XlP2mFrames P2m,
    XlTsc Tsc,
    ReadOnlyMemory<byte> SharedInfo,
    IReadOnlyList<XlPvVcpu> Vcpus)
{
    internal void Check(string parameter)
    {
        if (!IsWidth(GuestWidth, PageTableLevels))
        {
            throw new ArgumentException(
                $"A guest width of {GuestWidth} does not go with {PageTableLevels} levels of page tables.", parameter);
        }

        StateChecks.Policies(CpuidPolicy, MsrPolicy, parameter);
        ArgumentNullException.ThrowIfNull(P2m, parameter);
        P2m.Check(GuestWidth, parameter);
        StateChecks.Blob(
            SharedInfo, LibxcFormat.PageSize, LibxcFormat.PageSize, 1, nameof(SharedInfo), parameter);
        ArgumentNullException.ThrowIfNull(Vcpus, parameter);
        var ids = new HashSet<uint>();
        foreach (XlPvVcpu vcpu in Vcpus)
        {
            ArgumentNullException.ThrowIfNull(vcpu, parameter);
            vcpu.Check(GuestWidth, parameter);
            if (!ids.Add(vcpu.Id))
            {
                throw new ArgumentException($"Virtual CPU {vcpu.Id} is there twice.", parameter);
            }
        }

        if (!ids.Contains(0))
        {
            throw new ArgumentException("Virtual CPU 0 is missing; a PV guest is not restored without it.", parameter);
        }
    }

    internal static bool IsWidth(byte width, byte levels) => (width, levels) is (4, 3) or (8, 4);
}

/// <summary>X86_PV_P2M_FRAMES: where a PV guest's p2m lies. After a restore it is written anew there.</summary>
/// <param name="FirstPfn">The first PFN that the p2m maps; 0 in all streams of libxc.</param>
/// <param name="LastPfn">The last PFN that the p2m maps. No page of the guest lies above it.</param>
/// <param name="Frames">The PFNs of the pages that hold the p2m: one for each 4096 divided by the guest's width PFNs.
/// </param>
public sealed record XlP2mFrames(uint FirstPfn, uint LastPfn, ReadOnlyMemory<long> Frames)
{
    internal void Check(byte guestWidth, string parameter)
    {
        if (FirstPfn > LastPfn)
        {
            throw new ArgumentException($"The p2m ends at PFN {LastPfn}, before its first PFN {FirstPfn}.", parameter);
        }

        long count = FrameCount(FirstPfn, LastPfn, guestWidth);
        if (Frames.Length != count)
        {
            throw new ArgumentException(
                $"A p2m of the PFNs {FirstPfn} to {LastPfn} has {count} frames, not {Frames.Length}.", parameter);
        }

        foreach (long pfn in Frames.Span)
        {
            if ((ulong)pfn > LastPfn)
            {
                throw new ArgumentException($"A frame of the p2m is PFN {pfn}, after the last one.", parameter);
            }
        }
    }

    /// <summary>How many pages the entries of a range of PFNs fill or touch.</summary>
    internal static long FrameCount(uint first, uint last, byte guestWidth)
    {
        long entries = LibxcFormat.PageSize / guestWidth;
        return (last / entries) - (first / entries) + 1;
    }
}

/// <summary>A virtual CPU of a PV guest.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Basic">X86_PV_VCPU_BASIC: <c>vcpu_guest_context</c>, 5168 bytes (2800 for a width of 4).</param>
/// <param name="Extended">X86_PV_VCPU_EXTENDED: at most 128 bytes; empty for none.</param>
/// <param name="Xsave">X86_PV_VCPU_XSAVE: at least 16 bytes; empty for none.</param>
/// <param name="Msrs">X86_PV_VCPU_MSRS: an array of <c>xen_domctl_vcpu_msr_t</c>, 16 bytes each; empty for none.</param>
public sealed record XlPvVcpu(
    uint Id,
    ReadOnlyMemory<byte> Basic,
    ReadOnlyMemory<byte> Extended,
    ReadOnlyMemory<byte> Xsave,
    ReadOnlyMemory<byte> Msrs)
{
    internal void Check(byte guestWidth, string parameter)
    {
        if (Id >= LibxcFormat.MaxVcpus)
        {
            throw new ArgumentException($"Virtual CPU {Id}: Xen has at most {LibxcFormat.MaxVcpus}.", parameter);
        }

        Part(XlVcpuPart.Basic, Basic);
        Part(XlVcpuPart.Extended, Extended);
        Part(XlVcpuPart.Xsave, Xsave);
        Part(XlVcpuPart.Msrs, Msrs);

        void Part(XlVcpuPart part, ReadOnlyMemory<byte> context)
        {
            if (context.Length == 0 && part != XlVcpuPart.Basic)
            {
                return;
            }

            if (!VcpuParts.IsLength(part, context.Length, guestWidth))
            {
                throw new ArgumentException(
                    $"{part} state of virtual CPU {Id}: {context.Length} bytes, not {VcpuParts.Lengths(part, guestWidth)}.",
                    parameter);
            }
        }
    }
}
