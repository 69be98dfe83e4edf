using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>What a stream calls the type of its domain (the domain header's <c>type</c>).</summary>
public enum XlGuestKind
{
    /// <summary>A PV guest.</summary>
    Pv = 1,

    /// <summary>An HVM or a PVH guest: the stream does not tell them apart, the configuration does.</summary>
    Hvm = 2,
}

/// <summary>The domain that a file of <c>xl save</c> is about.</summary>
/// <param name="ConfigJson">Its <c>libxl_domain_config</c> as libxl writes it; see <see cref="XlConfig"/>.</param>
/// <param name="XenMajor">The major release of the Xen that the state is from.</param>
/// <param name="XenMinor">The minor release of that Xen.</param>
/// <param name="Kind">How the guest is virtualised.</param>
public sealed record XlDomain(string ConfigJson, int XenMajor, int XenMinor, XlGuestKind Kind);

/// <summary>The virtual time-stamp counter (X86_TSC_INFO; <c>XEN_DOMCTL_gettscinfo</c>).</summary>
/// <param name="Mode">Emulation mode, <c>TSC_MODE_*</c>.</param>
/// <param name="ElapsedNanoseconds">Guest time in nanoseconds.</param>
/// <param name="KiloHertz">Frequency of the counter.</param>
/// <param name="Incarnation">Rises with each restore.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct XlTsc(uint Mode, ulong ElapsedNanoseconds, uint KiloHertz, uint Incarnation);
