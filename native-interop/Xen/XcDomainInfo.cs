using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>What Xen tells of a domain: <c>xc_domaininfo_t</c> (<c>struct xen_domctl_getdomaininfo</c>).</summary>
[CStruct("xc_domaininfo_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
public struct XcDomainInfo
{
    internal ushort domain;
    internal ushort pad1;
    internal uint flags;
    internal ulong tot_pages;
    internal ulong max_pages;
    internal ulong outstanding_pages;
    internal ulong shr_pages;
    internal ulong paged_pages;
    internal ulong shared_info_frame;
    internal ulong cpu_time;
    internal uint nr_online_vcpus;
    internal uint max_vcpu_id;
    internal uint ssidref;
    internal DomainHandle handle;
    internal uint cpupool;
    internal byte gpaddr_bits;
    internal DomainInfoPadding pad2;
    [CField("arch_config.emulation_flags")] internal uint emulation_flags;
    [CField("arch_config.misc_flags")] internal uint misc_flags;

    /// <summary>The domain id.</summary>
    public readonly int DomainId => domain;

    /// <summary>The domain's UUID; all zero for the control domain.</summary>
    public readonly Guid Uuid => new(handle, bigEndian: true);

    /// <summary>The domain is being destroyed.</summary>
    public readonly bool IsDying => (flags & Domctl.XEN_DOMINF_dying) != 0;

    /// <summary>The guest is hardware-assisted: HVM or PVH.</summary>
    public readonly bool IsHvm => (flags & Domctl.XEN_DOMINF_hvm_guest) != 0;

    /// <summary>The guest has shut down; <see cref="ShutdownReason"/> says why.</summary>
    public readonly bool IsShutdown => (flags & Domctl.XEN_DOMINF_shutdown) != 0;

    /// <summary>The control domain has paused the domain.</summary>
    public readonly bool IsPaused => (flags & Domctl.XEN_DOMINF_paused) != 0;

    /// <summary>All virtual CPUs wait for something.</summary>
    public readonly bool IsBlocked => (flags & Domctl.XEN_DOMINF_blocked) != 0;

    /// <summary>A virtual CPU is running.</summary>
    public readonly bool IsRunning => (flags & Domctl.XEN_DOMINF_running) != 0;

    /// <summary>The guest's memory is translated by hardware (EPT or NPT).</summary>
    public readonly bool HasHardwareAssistedPaging => (flags & Domctl.XEN_DOMINF_hap) != 0;

    /// <summary>Why the guest shut down (<c>SHUTDOWN_*</c> of <c>xen/sched.h</c>); without meaning unless
    /// <see cref="IsShutdown"/>.</summary>
    public readonly int ShutdownReason =>
        (int)((flags >> Domctl.XEN_DOMINF_shutdownshift) & Domctl.XEN_DOMINF_shutdownmask);

    /// <summary>Populated 4 KiB pages.</summary>
    public readonly ulong TotalPages => tot_pages;

    /// <summary>The most 4 KiB pages that the domain may populate.</summary>
    public readonly ulong MaxPages => max_pages;

    /// <summary>Pages shared with other domains by memory sharing.</summary>
    public readonly ulong SharedPages => shr_pages;

    /// <summary>Pages that are paged out.</summary>
    public readonly ulong PagedPages => paged_pages;

    /// <summary>The GMFN of the shared info page.</summary>
    public readonly ulong SharedInfoFrame => shared_info_frame;

    /// <summary>CPU time used by all virtual CPUs together, in nanoseconds.</summary>
    public readonly ulong CpuTimeNanoseconds => cpu_time;

    /// <summary>Virtual CPUs online.</summary>
    public readonly int OnlineVcpus => (int)nr_online_vcpus;

    /// <summary>The highest id of a virtual CPU, online or not; null for a domain without any.</summary>
    public readonly int? MaxVcpuId => max_vcpu_id == Domctl.XEN_INVALID_MAX_VCPU_ID ? null : (int)max_vcpu_id;

    /// <summary>Emulated devices (<c>XEN_X86_EMU_*</c>): for a PVH guest the local APIC alone.</summary>
    public readonly uint EmulationFlags => emulation_flags;
}

/// <summary><c>xen_domain_handle_t</c>.</summary>
[InlineArray(16)]
[StructLayout(LayoutKind.Sequential)]
internal struct DomainHandle
{
    private byte _first;
}

/// <summary>Padding of <see cref="XcDomainInfo"/>.</summary>
[InlineArray(7)]
[StructLayout(LayoutKind.Sequential)]
internal struct DomainInfoPadding
{
    private byte _first;
}

/// <summary>Counters of a log-dirty operation: <c>xc_shadow_op_stats_t</c>.</summary>
[CStruct("xc_shadow_op_stats_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
public struct ShadowStats
{
    internal uint fault_count;
    internal uint dirty_count;

    /// <summary>Write faults taken since the last clean.</summary>
    public readonly uint FaultCount => fault_count;

    /// <summary>Pages marked dirty since the last clean.</summary>
    public readonly uint DirtyCount => dirty_count;
}
