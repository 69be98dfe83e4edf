using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/xattr.h</c> of glibc: attributes of a file, or of a link itself. Functions return -1 with errno set.
/// </summary>
[CHeader("sys/xattr.h")]
internal static partial class SysXattr
{
    /// <summary>Stores the names, each with a zero behind it, and returns their length; with a size of 0 the length alone.
    /// ERANGE where they do not fit.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long llistxattr(ref byte path, ref byte list, nuint size);

    /// <summary>Stores a value, and returns its length; with a size of 0 the length alone.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long lgetxattr(ref byte path, ref byte name, ref byte value, nuint size);

    /// <summary>Sets a value; 0 on success.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int lsetxattr(ref byte path, ref byte name, ref byte value, nuint size, int flags);

    /// <summary>Takes an attribute away; 0 on success.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int lremovexattr(ref byte path, ref byte name);
}
