using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/file.h</c> of glibc.</summary>
[CHeader("sys/file.h")]
internal static partial class SysFile
{
    [CConstant] internal const int LOCK_EX = 2;
    [CConstant] internal const int LOCK_NB = 4;

    /// <summary>Locks an open file description. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int flock(int fd, int operation);
}
