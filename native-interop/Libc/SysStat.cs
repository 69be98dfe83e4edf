using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/stat.h</c> of glibc (Linux x86-64). Functions return 0, or -1 with errno set. Paths end with a
/// zero.</summary>
[CHeader("sys/stat.h")]
internal static partial class SysStat
{
    [CConstant] internal const uint STATX_BASIC_STATS = 0x7ff;
    [CConstant] internal const int AT_FDCWD = -100;
    [CConstant] internal const int AT_SYMLINK_NOFOLLOW = 0x100;
    [CConstant] internal const int AT_NO_AUTOMOUNT = 0x800;
    [CConstant] internal const int AT_EMPTY_PATH = 0x1000;

    /// <summary>The bits of a mode that say what a file is.</summary>
    [CConstant] internal const int S_IFMT = 0xf000;

    /// <summary>Tells of a file.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int statx(int dirfd, ref byte path, int flags, uint mask, ref Statx buf);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int chmod(ref byte file, uint mode);

    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int mkdir(ref byte path, uint mode);

    /// <summary>Makes a file of any kind but a directory or a link. <paramref name="dev"/> as glibc encodes it.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int mknod(ref byte path, uint mode, ulong dev);

    /// <summary>Sets the times of access and of modification, which stand one behind the other.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int utimensat(int fd, ref byte path, ref Timespec times, int flags);
}

/// <summary><c>struct timespec</c>.</summary>
[CStruct("struct timespec")]
[CHeader("sys/stat.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct Timespec
{
    internal long tv_sec;
    internal long tv_nsec;
}

/// <summary><c>struct statx_timestamp</c>.</summary>
[CStruct("struct statx_timestamp")]
[CHeader("sys/stat.h")]
[StructLayout(LayoutKind.Sequential, Size = 16)]
internal struct StatxTimestamp
{
    internal long tv_sec;
    internal uint tv_nsec;
}

/// <summary><c>struct statx</c>; what lies behind its first 144 octets differs from kernel to kernel and is not read.
/// </summary>
[CStruct("struct statx")]
[CHeader("sys/stat.h")]
[StructLayout(LayoutKind.Sequential, Size = 256)]
internal struct Statx
{
    internal uint stx_mask;
    internal uint stx_blksize;
    internal ulong stx_attributes;
    internal uint stx_nlink;
    internal uint stx_uid;
    internal uint stx_gid;
    internal ushort stx_mode;
    internal ulong stx_ino;
    internal ulong stx_size;
    internal ulong stx_blocks;
    internal ulong stx_attributes_mask;
    internal StatxTimestamp stx_atime;
    internal StatxTimestamp stx_btime;
    internal StatxTimestamp stx_ctime;
    internal StatxTimestamp stx_mtime;
    internal uint stx_rdev_major;
    internal uint stx_rdev_minor;
    internal uint stx_dev_major;
    internal uint stx_dev_minor;
}
