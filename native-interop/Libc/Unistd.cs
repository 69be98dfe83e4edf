using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>unistd.h</c> of glibc. Functions return 0, or -1 with errno set.</summary>
[CHeader("unistd.h")]
internal static partial class Unistd
{
    /// <summary>The descriptor of standard error.</summary>
    [CConstant] internal const int STDERR_FILENO = 2;

    /// <summary>Closes a descriptor; it is closed also where the call fails.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int close(int fd);

    /// <summary>Reads. Returns the octets that were read, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long read(int fd, ref byte buf, nuint nbytes);

    /// <summary>Writes. Returns the octets that were written, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long write(int fd, ref byte buf, nuint n);

    /// <summary>Writes a file's, or a directory's, data and metadata to its device.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int fsync(int fd);

    /// <summary>Copies inside the kernel. Returns the octets that were copied, 0 at the file's end, or -1 with errno set.
    /// </summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long copy_file_range(
        int infd, ref long pinoff, int outfd, ref long poutoff, nuint length, uint flags);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int lchown(ref byte file, uint owner, uint group);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int link(ref byte from, ref byte to);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int symlink(ref byte from, ref byte to);

    /// <summary>Stores where a link leads to, without a zero behind it, and returns the length.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long readlink(ref byte path, ref byte buf, nuint len);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int unlink(ref byte name);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int rmdir(ref byte path);

    /// <summary>Writes all of the file system that a descriptor is on to its device.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int syncfs(int fd);
}
