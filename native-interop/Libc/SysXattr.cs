using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/xattr.h</c> of glibc: attributes of a file, or of a link itself. Functions return -1 with errno set.
/// </summary>
[CHeader("sys/xattr.h")]
internal static unsafe partial class SysXattr
{
    /// <summary>Stores the names, each with a zero behind it, and returns their length; with a size of 0 the length alone.
    /// ERANGE where they do not fit.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial long llistxattr(byte* path, byte* list, nuint size);

    /// <summary>Stores a value, and returns its length; with a size of 0 the length alone.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial long lgetxattr(byte* path, byte* name, byte* value, nuint size);

    /// <summary>Sets a value; 0 on success.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial int lsetxattr(byte* path, byte* name, byte* value, nuint size, int flags);

    /// <summary>Takes an attribute away; 0 on success.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial int lremovexattr(byte* path, byte* name);
}
