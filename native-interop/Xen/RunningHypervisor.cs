using System.Globalization;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>What can be known of the hypervisor without a library that belongs to its release.</summary>
internal static class RunningHypervisor
{
    /// <summary>The devices that control the hypervisor, in the order in which Xen's libraries try them.</summary>
    internal static readonly string[] ControlDevices = ["/dev/xen/privcmd", "/proc/xen/privcmd"];

    /// <summary>The release of the running hypervisor, from sysfs or else by a raw hypercall.</summary>
    /// <returns>Null where neither can tell.</returns>
    internal static XenRelease? TryGetRelease() => FromSysfs("/sys/hypervisor") ?? FromHypercall();

    /// <summary>Reads the release from the kernel's description of the hypervisor.</summary>
    /// <param name="root">The directory <c>/sys/hypervisor</c>, or one like it.</param>
    /// <returns>Null where there is none, or the hypervisor is not Xen.</returns>
    internal static XenRelease? FromSysfs(string root)
    {
        if (ReadLine(Path.Combine(root, "type")) != "xen")
        {
            return null;
        }

        string version = Path.Combine(root, "version");
        return TryParse(ReadLine(Path.Combine(version, "major")), out int major)
            && TryParse(ReadLine(Path.Combine(version, "minor")), out int minor)
                ? new XenRelease(major, minor)
                : null;
    }

    /// <summary>Throws where no control device exists.</summary>
    /// <param name="devices">Paths, of which one has to exist.</param>
    /// <param name="operation">What needs the device.</param>
    internal static void RequireDevice(string[] devices, string operation)
    {
        if (!Array.Exists(devices, File.Exists))
        {
            string missing = devices.Length == 1
                ? $"{devices[0]} does not exist"
                : $"neither {string.Join(" nor ", devices)} exists";
            throw new XenUnavailableException(
                operation, Libc.Errno.ENOENT,
                $"Could not {operation}: {missing}. Is this the control domain (Dom0) of a Xen host?");
        }
    }

    private static XenRelease? FromHypercall()
    {
        // libxencall prints to stderr where it finds no device.
        if (!Array.Exists(ControlDevices, File.Exists)
            || !NativeLibrary.TryLoad(XenLibrary.Call, out _))
        {
            return null;
        }

        nint handle = Xencall.xencall_open(nint.Zero, 0);
        if (handle == nint.Zero)
        {
            return null;
        }

        try
        {
            int version = Xencall.xencall2(
                handle, Headers.Version.HYPERVISOR_xen_version, Headers.Version.XENVER_version, 0);
            return version > 0 ? XenRelease.FromHypercall(version) : null;
        }
        finally
        {
            _ = Xencall.xencall_close(handle);
        }
    }

    private static bool TryParse(string? text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static string? ReadLine(string path)
    {
        try
        {
            return File.ReadAllText(path).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
