using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
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
        return SysIoctl.ioctl(device, LinuxFs.BLKGETSIZE64, ref length[0]) == 0
            ? checked((long)MemoryMarshal.Read<ulong>(length))
            : throw new IOException(
                $"Could not read the length of a block device: {Errno.Describe(Marshal.GetLastPInvokeError())}.");
    }
}
