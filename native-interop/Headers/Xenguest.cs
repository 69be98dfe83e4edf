using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xenguest.h</c> of libxenguest, Xen 4.17 to 4.22. Functions return 0, or -1 with errno set.</summary>
[CHeader("xenguest.h")]
internal static partial class Xenguest
{
    [CConstant] internal const uint XCFLAGS_LIVE = 1;
    [CConstant] internal const uint XC_STREAM_PLAIN = 0;
    [CConstant] internal const int XGS_POLICY_ABORT = -1;
    [CConstant] internal const int XGS_POLICY_CONTINUE_PRECOPY = 0;
    [CConstant] internal const int XGS_POLICY_STOP_AND_COPY = 1;

    /// <summary>Lets a suspended domain go on. <paramref name="fast"/> 1 makes the guest's suspend call return
    /// "cancelled", and its devices stay connected; 0 makes it reconnect them.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_domain_resume(XenInterface xch, uint domid, int fast);

    /// <summary>Writes a domain as a libxc migration stream to <paramref name="io_fd"/>, which stays open.
    /// Calls back on the calling thread. Takes log-dirty mode over and ends with it off.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_domain_save(
        XenInterface xch, int io_fd, uint dom, uint flags, ref SaveCallbacks callbacks, uint stream_type,
        int recv_fd);

    /// <summary>Makes an empty CPU policy. Returns it for <see cref="xc_cpu_policy_destroy"/>, or null.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial nint xc_cpu_policy_init();

    /// <summary>Frees a CPU policy.</summary>
    [LibraryImport(XenLibrary.Guest)]
    internal static partial void xc_cpu_policy_destroy(nint policy);

    /// <summary>Reads the CPU policy of a domain.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_cpu_policy_get_domain(XenInterface xch, uint domid, nint policy);

    /// <summary>Reads a CPU policy of the host, one of <see cref="Sysctl"/>.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_cpu_policy_get_system(XenInterface xch, uint policy_idx, nint policy);

    /// <summary>Reads how many CPUID leaves and MSRs a serialised policy has at most.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_cpu_policy_get_size(XenInterface xch, out uint nr_leaves, out uint nr_msrs);

    /// <summary>Writes a policy as CPUID leaves and MSRs; the counts go in as capacities and come out as
    /// numbers written. ENOBUFS where a capacity is too small.</summary>
    [LibraryImport(XenLibrary.Guest, SetLastError = true)]
    internal static partial int xc_cpu_policy_serialise(
        XenInterface xch, nint policy, ref CpuidLeaf leaves, ref uint nr_leaves, ref MsrEntry msrs,
        ref uint nr_msrs);
}

/// <summary><c>struct save_callbacks</c>: C function pointers; suspend and switch_qemu_logdirty are called in
/// a plain stream, a null precopy_policy means the default one.</summary>
[CStruct("struct save_callbacks")]
[CHeader("xenguest.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct SaveCallbacks
{
    internal nint suspend;
    internal nint precopy_policy;
    internal nint postcopy;
    internal nint checkpoint;
    internal nint wait_checkpoint;
    internal nint switch_qemu_logdirty;
    internal nint data;
}

/// <summary><c>struct precopy_stats</c>, passed by value.</summary>
[CStruct("struct precopy_stats")]
[CHeader("xenguest.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct PrecopyStats
{
    internal uint iteration;
    internal nuint total_written;
    internal nint dirty_count;
}
