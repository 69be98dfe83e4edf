using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/sysctl.h</c>: the CPU policies of a host.</summary>
[CHeader("xenctrl.h")]
internal static class Sysctl
{
    /// <summary>All that a PV guest can have.</summary>
    [CConstant] internal const uint XEN_SYSCTL_cpu_policy_pv_max = 2;

    /// <summary>All that an HVM or PVH guest can have.</summary>
    [CConstant] internal const uint XEN_SYSCTL_cpu_policy_hvm_max = 3;
}

/// <summary><c>xc_physinfo_t</c> (<c>struct xen_sysctl_physinfo</c> of <c>xen/sysctl.h</c>).</summary>
[CStruct("xc_physinfo_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct XcPhysInfo
{
    internal uint threads_per_core;
    internal uint cores_per_socket;
    internal uint nr_cpus;
    internal uint max_cpu_id;
    internal uint nr_nodes;
    internal uint max_node_id;
    internal uint cpu_khz;
    internal uint capabilities;
    internal uint arch_capabilities;
    internal uint pad;
    internal ulong total_pages;
    internal ulong free_pages;
    internal ulong scrub_pages;
    internal ulong outstanding_pages;
    internal ulong max_mfn;
    internal HardwareCapabilities hw_cap;
}

/// <summary><c>hw_cap</c> of <see cref="XcPhysInfo"/>.</summary>
[InlineArray(8)]
[StructLayout(LayoutKind.Sequential)]
internal struct HardwareCapabilities
{
    private uint _first;
}
