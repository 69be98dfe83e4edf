using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/stat.h</c> of glibc.</summary>
[CHeader("sys/stat.h")]
internal static partial class SysStat
{
    /// <summary>Makes a file of any kind but a directory or a link. Returns 0, or -1 with errno set.</summary>
    /// <param name="path">Ends with a zero.</param>
    /// <param name="mode">Type and permissions.</param>
    /// <param name="dev">As glibc encodes it.</param>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial int mknod(byte* path, uint mode, ulong dev);
}
