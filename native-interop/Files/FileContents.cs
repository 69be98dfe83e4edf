using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>What a file holds: copying inside the kernel, and whether somebody may write it.</summary>
public static class FileContents
{
    /// <summary>Makes an empty file hold what another one holds, sharing its octets.</summary>
    /// <param name="from">Open to read.</param>
    /// <param name="to">Open to write, and empty.</param>
    /// <returns>False where the file system cannot share; nothing was done then.</returns>
    public static bool TryShare(SafeFileHandle from, SafeFileHandle to)
    {
        ArgumentNullException.ThrowIfNull(from);
        ArgumentNullException.ThrowIfNull(to);
        return Ioctl.Call(to, LinuxFs.FICLONE, from.DangerousGetHandle()) == 0;
    }

    /// <summary>Copies a file into an empty one, and its octets stay in the kernel.</summary>
    /// <param name="from">Open to read.</param>
    /// <param name="to">Open to write, and empty.</param>
    /// <param name="length">Bytes; less where the file ends before.</param>
    /// <exception cref="IOException">The file system is full, or failed.</exception>
    public static void Copy(SafeFileHandle from, SafeFileHandle to, long length)
    {
        ArgumentNullException.ThrowIfNull(from);
        ArgumentNullException.ThrowIfNull(to);
        long read = 0, written = 0;
        while (read < length)
        {
            long copied = Unistd.copy_file_range(
                (int)from.DangerousGetHandle(), ref read, (int)to.DangerousGetHandle(), ref written, (nuint)(length - read), 0);
            if (copied == 0)
            {
                return;
            }

            if (copied < 0 && Marshal.GetLastPInvokeError() != Errno.EINTR)
            {
                throw RawFiles.Failed("copy", "an open file", Marshal.GetLastPInvokeError());
            }
        }
    }

    /// <summary>True where any process has a file open to write it, through whatever mount.</summary>
    /// <param name="file">Open to read.</param>
    /// <remarks>A read lease is only given where nobody has (fcntl(2), F_SETLEASE). It is held for a moment; somebody who
    /// opens the file then waits for that moment.</remarks>
    /// <exception cref="IOException">The file system knows no leases.</exception>
    public static bool IsOpenToWrite(SafeFileHandle file)
    {
        ArgumentNullException.ThrowIfNull(file);
        int fd = (int)file.DangerousGetHandle();

        // What breaks a lease sends SIGIO otherwise, which ends a process; SIGURG is ignored unless somebody asks for it.
        _ = LibC.fcntl(fd, LibC.F_SETSIG, LibC.SIGURG);
        if (LibC.fcntl(fd, LibC.F_SETLEASE, LibC.F_RDLCK) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            return errno == Errno.EAGAIN ? true : throw RawFiles.Failed("take a lease of", "a file", errno);
        }

        _ = LibC.fcntl(fd, LibC.F_SETLEASE, LibC.F_UNLCK);
        return false;
    }

    /// <summary>Waits until all of the file system that a file is on is on its device.</summary>
    /// <param name="file">An open file.</param>
    /// <exception cref="IOException">The device failed.</exception>
    public static void SyncFileSystem(SafeFileHandle file)
    {
        ArgumentNullException.ThrowIfNull(file);
        RawFiles.Check(LibC.syncfs((int)file.DangerousGetHandle()), "sync", "a file system");
    }
}
