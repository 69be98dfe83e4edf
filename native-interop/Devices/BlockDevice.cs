using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Devices;

/// <summary>What .NET does not tell of block devices: their files have length 0 there.</summary>
public static class BlockDevice
{
    /// <summary>The length of an open block device in bytes.</summary>
    /// <param name="device">The device.</param>
    /// <exception cref="IOException">This is no block device.</exception>
    public static long LengthOf(SafeFileHandle device)
    {
        ArgumentNullException.ThrowIfNull(device);
        byte[] length = new byte[sizeof(ulong)];
        return Ioctl.Call(device, LinuxFs.BLKGETSIZE64, length) == 0
            ? checked((long)MemoryMarshal.Read<ulong>(length))
            : throw new IOException(
                $"Could not read the length of a block device: {Errno.Describe(Marshal.GetLastPInvokeError())}.");
    }

    /// <summary>True where the kernel itself uses a block device: it is mounted, swapped to, or another device is made
    /// of it. Programs, and domains' backends, that have it open do not count.</summary>
    /// <param name="path">The device.</param>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static bool IsClaimed(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);

        // O_EXCL without O_CREAT is defined for block devices only: it claims the device for as long as it is open.
        int fd;

        // unsafe: the call takes a pointer. Safe: the path lies on the stack.
        unsafe
        {
            fd = LibC.open(
                RawPath.Encode(RawPath.From(path), stackalloc byte[RawPath.MaxLength]),
                LibC.O_RDONLY | LibC.O_EXCL | LibC.O_CLOEXEC);
        }

        if (fd >= 0)
        {
            _ = LibC.close(fd);
            return false;
        }

        int errno = Marshal.GetLastPInvokeError();
        return errno == Errno.EBUSY
            ? true
            : throw new IOException($"Could not open {path}: {Errno.Describe(errno)}.");
    }
}
