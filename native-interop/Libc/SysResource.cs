using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/resource.h</c> of glibc.</summary>
[CHeader("sys/resource.h")]
internal static partial class SysResource
{
    [CConstant] internal const uint PRIO_PROCESS = 0;

    /// <summary>The nice value of a thread; 0 names the caller. Returns -1 for an error, too, which errno tells from the
    /// value.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int getpriority(uint which, uint who);

    /// <summary>Sets the nice value of a thread. On Linux it is a thread's and not a process's (setpriority(2)). Returns 0, or -1
    /// with errno set: EACCES where a lower one is asked for without CAP_SYS_NICE.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int setpriority(uint which, uint who, int prio);
}
