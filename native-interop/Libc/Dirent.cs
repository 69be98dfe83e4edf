using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>dirent.h</c> of glibc, since 2.30.</summary>
[CHeader("dirent.h")]
internal static partial class Dirent
{
    [CConstant("__builtin_offsetof(struct dirent64, d_reclen)")] internal const int ReclenOffset = 16;
    [CConstant("__builtin_offsetof(struct dirent64, d_name)")] internal const int NameOffset = 19;

    /// <summary>Reads entries of a directory, one <c>struct dirent64</c> after the other. Returns their octets, 0 at the
    /// end, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long getdents64(int fd, ref byte buffer, nuint length);
}
