using System.Globalization;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A release of Xen: libraries and hypervisor of one release belong together.</summary>
/// <param name="Major">4 in 4.17.</param>
/// <param name="Minor">17 in 4.17.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct XenRelease(int Major, int Minor)
{
    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Major}.{Minor}");

    /// <summary>The release of Xen's answer to <c>XENVER_version</c>.</summary>
    internal static XenRelease FromHypercall(int version) => new(version >> 16, version & 0xffff);
}

/// <summary>The version of the running hypervisor.</summary>
/// <param name="Release">Major and minor version.</param>
/// <param name="Extra">What follows them, with its own separator, such as <c>.7</c> or <c>.0-rc2</c>.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct XenVersion(XenRelease Release, string Extra)
{
    /// <summary>The full version, such as <c>4.17.7</c>.</summary>
    public override string ToString() => $"{Release}{Extra}";
}
