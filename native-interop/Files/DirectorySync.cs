using System.Runtime.InteropServices;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Makes changes of a directory durable: a file that was renamed into place may be gone after a power cut
/// until its directory was synced, and .NET opens no directories.</summary>
public static class DirectorySync
{
    /// <summary>Waits until the entries of a directory are on the device.</summary>
    /// <param name="path">The directory.</param>
    /// <exception cref="DirectoryNotFoundException">It does not exist.</exception>
    /// <exception cref="IOException">It is no directory, or the device failed.</exception>
    public static void Flush(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        int fd = Open(path);
        if (fd < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            throw errno == Errno.ENOENT
                ? new DirectoryNotFoundException($"There is no directory {path}.")
                : Failed("open", path, errno);
        }

        int result = LibC.fsync(fd);
        int syncErrno = Marshal.GetLastPInvokeError();
        _ = LibC.close(fd);
        if (result != 0)
        {
            throw Failed("sync", path, syncErrno);
        }
    }

    private static int Open(string path)
    {
        // unsafe: the call takes a pointer. Safe: the path lies on the stack.
        unsafe
        {
            return LibC.open(
                RawPath.Encode(RawPath.From(path), stackalloc byte[RawPath.MaxLength]),
                LibC.O_RDONLY | LibC.O_DIRECTORY | LibC.O_CLOEXEC);
        }
    }

    private static IOException Failed(string verb, string path, int errno) =>
        new($"Could not {verb} directory {path}: {Errno.Describe(errno)}.", errno);
}
