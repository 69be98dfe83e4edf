using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Devices;

/// <summary>A target of a device-mapper table, as <c>dmsetup table</c> and <c>dmsetup status</c> print it.</summary>
/// <param name="Start">The first sector of 512 bytes.</param>
/// <param name="Length">Sectors.</param>
/// <param name="Type">The target's type, such as <c>thin</c>.</param>
/// <param name="Parameters">The target's parameters; of a status, what the target says of itself.</param>
public sealed record DmTarget(long Start, long Length, string Type, string Parameters);

/// <summary>What device-mapper knows of a device.</summary>
/// <param name="Major">Its major number, which all devices of device-mapper share.</param>
/// <param name="Minor">Its minor number: the device is <c>/dev/dm-MINOR</c>.</param>
/// <param name="OpenCount">Who has it open: programs, mounts, domains, other devices upon it.</param>
/// <param name="IsSuspended">It holds back all reads and writes.</param>
/// <param name="HasTable">It has a live table.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct DmDeviceInfo(int Major, int Minor, int OpenCount, bool IsSuspended, bool HasTable)
{
    /// <summary>The device node that the kernel makes by itself, with or without udev.</summary>
    public string Node => $"/dev/dm-{Minor}";

    /// <summary>The device as tables name it, and as the kernel names it there.</summary>
    public string Number => $"{Major}:{Minor}";
}

/// <summary>A request to device-mapper failed.</summary>
public sealed class DeviceMapperException : IOException
{
    internal DeviceMapperException(string operation, int errno)
        : base($"Could not {operation}: {Libc.Errno.Describe(errno)}.{Hint(errno)}") => Errno = errno;

    /// <summary>The request's errno.</summary>
    public int Errno { get; }

    /// <summary>The device does not exist (ENXIO).</summary>
    public bool IsMissing => Errno == Libc.Errno.ENXIO;

    /// <summary>The device is open, or a device of this name exists already (EBUSY).</summary>
    public bool IsBusy => Errno == Libc.Errno.EBUSY;

    /// <summary>A thin pool has no thin device of this id (ENODATA).</summary>
    public bool IsNoSuchThin => Errno == Libc.Errno.ENODATA;

    private static string Hint(int errno) => errno switch
    {
        Libc.Errno.EACCES or Libc.Errno.EPERM => " Run as root.",
        Libc.Errno.ENOENT or Libc.Errno.ENODEV => " Is the kernel's module dm-mod loaded ('modprobe dm-mod')?",
        Libc.Errno.EINVAL => " The kernel's log ('dmesg') says what it does not like.",
        _ => "",
    };
}
