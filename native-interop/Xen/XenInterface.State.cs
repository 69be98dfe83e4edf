using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenInterface
{
    /// <summary>Bytes of the context of one virtual CPU.</summary>
    [NotInC("Another name of a constant that is proved.")]
    public const int VcpuContextLength = Xenctrl.VcpuGuestContextSize;

    private static readonly uint[] SavedParams =
    [
        HvmParams.HVM_PARAM_STORE_PFN, HvmParams.HVM_PARAM_IOREQ_PFN, HvmParams.HVM_PARAM_BUFIOREQ_PFN,
        HvmParams.HVM_PARAM_PAGING_RING_PFN, HvmParams.HVM_PARAM_MONITOR_RING_PFN,
        HvmParams.HVM_PARAM_SHARING_RING_PFN, HvmParams.HVM_PARAM_VM86_TSS_SIZED, HvmParams.HVM_PARAM_CONSOLE_PFN,
        HvmParams.HVM_PARAM_ACPI_IOPORTS_LOCATION, HvmParams.HVM_PARAM_VIRIDIAN, HvmParams.HVM_PARAM_IDENT_PT,
        HvmParams.HVM_PARAM_VM_GENERATION_ID_ADDR, HvmParams.HVM_PARAM_IOREQ_SERVER_PFN,
        HvmParams.HVM_PARAM_NR_IOREQ_SERVER_PAGES, HvmParams.HVM_PARAM_X87_FIP_WIDTH, HvmParams.HVM_PARAM_MCA_CAP,
    ];

    /// <summary>The parameter that names the page of a pager's ring.</summary>
    [NotInC("Another name of a constant that is proved.")]
    public const uint PagingRingParam = HvmParams.HVM_PARAM_PAGING_RING_PFN;

    /// <summary>The HVM parameters that belong to a saved guest, in the order in which libxenguest saves them.</summary>
    public static ReadOnlySpan<uint> SavedHvmParams => SavedParams;

    /// <summary>The length of a domain's HVM context.</summary>
    /// <param name="domid">The id of an HVM or PVH domain.</param>
    public int GetHvmContextLength(uint domid) => GetHvmContext(domid, []);

    /// <summary>Copies the HVM context: virtual CPUs, interrupt controllers, timers.</summary>
    /// <param name="domid">The id of an HVM or PVH domain; it should not be running.</param>
    /// <param name="destination">At least <see cref="GetHvmContextLength"/> bytes; empty to learn that length.</param>
    /// <returns>The length of the context.</returns>
    public int GetHvmContext(uint domid, Span<byte> destination)
    {
        // An empty span's reference may be anything; null is what asks for the length.
        ref byte buffer = ref destination.IsEmpty
            ? ref Unsafe.NullRef<byte>()
            : ref MemoryMarshal.GetReference(destination);
        int length = Xenctrl.xc_domain_hvm_getcontext(this, domid, ref buffer, (uint)destination.Length);
        if (length < 0)
        {
            XenErrors.ThrowForDomain("read the HVM context of", domid);
        }

        return length;
    }

    /// <summary>Sets the HVM context of a paused domain.</summary>
    /// <param name="domid">The id of an HVM or PVH domain.</param>
    /// <param name="context">A whole context.</param>
    public void SetHvmContext(uint domid, ReadOnlySpan<byte> context)
    {
        if (Xenctrl.xc_domain_hvm_setcontext(
                this, domid, ref MemoryMarshal.GetReference(context), (uint)context.Length) != 0)
        {
            XenErrors.ThrowForDomain("set the HVM context of", domid);
        }
    }

    /// <summary>Reads an HVM parameter.</summary>
    /// <param name="domid">The id of an HVM or PVH domain.</param>
    /// <param name="index">The parameter (<c>xen/hvm/params.h</c>).</param>
    public ulong GetHvmParam(uint domid, uint index)
    {
        if (Xenctrl.xc_hvm_param_get(this, domid, index, out ulong value) != 0)
        {
            XenErrors.ThrowForDomain($"read HVM parameter {index} of", domid);
        }

        return value;
    }

    /// <summary>Writes an HVM parameter.</summary>
    /// <param name="domid">The id of an HVM or PVH domain.</param>
    /// <param name="index">The parameter.</param>
    /// <param name="value">Its value.</param>
    public void SetHvmParam(uint domid, uint index, ulong value)
    {
        if (Xenctrl.xc_hvm_param_set(this, domid, index, value) != 0)
        {
            XenErrors.ThrowForDomain($"write HVM parameter {index} of", domid);
        }
    }

    /// <summary>Reads the virtual time-stamp counter.</summary>
    /// <param name="domid">The domain's id.</param>
    public XcTscInfo GetTscInfo(uint domid)
    {
        if (Xenctrl.xc_domain_get_tsc_info(
                this, domid, out uint mode, out ulong nanoseconds, out uint kiloHertz, out uint incarnation) != 0)
        {
            XenErrors.ThrowForDomain("read the time-stamp counter of", domid);
        }

        return new XcTscInfo(mode, nanoseconds, kiloHertz, incarnation);
    }

    /// <summary>Copies the context of a virtual CPU (<c>vcpu_guest_context_any_t</c>).</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="vcpu">The virtual CPU.</param>
    /// <param name="destination">At least <see cref="VcpuContextLength"/> bytes.</param>
    public void GetVcpuContext(uint domid, uint vcpu, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(destination.Length, VcpuContextLength, nameof(destination));
        if (Xenctrl.xc_vcpu_getcontext(this, domid, vcpu, ref MemoryMarshal.GetReference(destination)) != 0)
        {
            XenErrors.ThrowForDomain($"read the context of vcpu {vcpu} of", domid);
        }
    }

    /// <summary>Sets the context of a virtual CPU of a paused domain.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="vcpu">The virtual CPU.</param>
    /// <param name="context">At least <see cref="VcpuContextLength"/> bytes.</param>
    public void SetVcpuContext(uint domid, uint vcpu, ReadOnlySpan<byte> context)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(context.Length, VcpuContextLength, nameof(context));
        if (Xenctrl.xc_vcpu_setcontext(this, domid, vcpu, ref MemoryMarshal.GetReference(context)) != 0)
        {
            XenErrors.ThrowForDomain($"set the context of vcpu {vcpu} of", domid);
        }
    }

    /// <summary>Reads what a domain's virtual CPUs can do.</summary>
    /// <param name="domid">The domain's id.</param>
    public CpuPolicy GetCpuPolicy(uint domid)
    {
        CpuPolicy? read = ReadCpuPolicy(policy => Xenguest.xc_cpu_policy_get_domain(this, domid, policy));
        if (read is null)
        {
            XenErrors.ThrowForDomain("read the CPU policy of", domid);
        }

        return read;
    }

    /// <summary>Reads the most that virtual CPUs on this host can do.</summary>
    /// <param name="pv">True for those of PV guests, false for those of HVM and PVH guests.</param>
    public CpuPolicy GetHostCpuPolicy(bool pv)
    {
        CpuPolicy? read = ReadCpuPolicy(policy => Xenguest.xc_cpu_policy_get_system(
            this, pv ? Sysctl.XEN_SYSCTL_cpu_policy_pv_max : Sysctl.XEN_SYSCTL_cpu_policy_hvm_max, policy));
        if (read is null)
        {
            XenErrors.Throw(XenErrorSource.Hypercall, "read the CPU policy of the host");
        }

        return read;
    }

    // Null where a call failed, with errno of that call.
    private CpuPolicy? ReadCpuPolicy(Func<nint, int> read)
    {
        XenLibraries.Load(XenLibrary.Guest);
        nint policy = Xenguest.xc_cpu_policy_init();
        if (policy == nint.Zero)
        {
            return null;
        }

        try
        {
            if (read(policy) != 0 || Xenguest.xc_cpu_policy_get_size(this, out uint leafCount, out uint msrCount) != 0)
            {
                return null;
            }

            // One entry more than needed: a reference to the first element of an empty array cannot be taken.
            var leaves = new CpuidLeaf[leafCount + 1];
            var msrs = new MsrEntry[msrCount + 1];
            return Xenguest.xc_cpu_policy_serialise(this, policy, ref leaves[0], ref leafCount, ref msrs[0], ref msrCount) == 0
                ? new CpuPolicy(leaves.AsMemory(0, (int)leafCount), msrs.AsMemory(0, (int)msrCount))
                : null;
        }
        finally
        {
            Xenguest.xc_cpu_policy_destroy(policy);
        }
    }
}

/// <summary>A domain's virtual time-stamp counter.</summary>
/// <param name="Mode">Emulation mode.</param>
/// <param name="ElapsedNanoseconds">Guest time in nanoseconds.</param>
/// <param name="KiloHertz">Frequency of the counter.</param>
/// <param name="Incarnation">Rises with each restore.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct XcTscInfo(uint Mode, ulong ElapsedNanoseconds, uint KiloHertz, uint Incarnation);

/// <summary>What a domain's virtual CPUs can do.</summary>
/// <param name="Leaves">CPUID leaves.</param>
/// <param name="Msrs">Model-specific registers.</param>
public sealed record CpuPolicy(ReadOnlyMemory<CpuidLeaf> Leaves, ReadOnlyMemory<MsrEntry> Msrs);
