using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/mount.h</c> of glibc. Functions return 0, or -1 with errno set.</summary>
[CHeader("sys/mount.h")]
internal static partial class SysMount
{
    [CConstant] internal const ulong MS_RDONLY = 1;
    [CConstant] internal const ulong MS_REMOUNT = 32;
    [CConstant] internal const ulong MS_MOVE = 8192;
    [CConstant] internal const ulong MS_PRIVATE = 1 << 18;
    [CConstant] internal const int MNT_DETACH = 2;
    [CConstant] internal const int UMOUNT_NOFOLLOW = 8;

    /// <summary>Mounts, moves or changes a mount. The options are those of the file system; the kernel reads them as text
    /// of at most a page.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int mount(
        ref byte special_file, ref byte dir, ref byte fstype, ulong rwflag, ref byte data);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int umount2(ref byte special_file, int flags);
}
