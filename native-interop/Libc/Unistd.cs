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

    /// <summary>Writes a file's, or a directory's, data and metadata to its device.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int fsync(int fd);
}
