using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>What a file is: the type bits of its mode.</summary>
[CHeader("sys/stat.h")]
public enum RawFileType
{
    /// <summary>A pipe with a name.</summary>
    [CConstant("S_IFIFO")] Fifo = 0x1000,

    /// <summary>A character device.</summary>
    [CConstant("S_IFCHR")] CharacterDevice = 0x2000,

    /// <summary>A directory.</summary>
    [CConstant("S_IFDIR")] Directory = 0x4000,

    /// <summary>A block device.</summary>
    [CConstant("S_IFBLK")] BlockDevice = 0x6000,

    /// <summary>A regular file.</summary>
    [CConstant("S_IFREG")] Regular = 0x8000,

    /// <summary>A symbolic link.</summary>
    [CConstant("S_IFLNK")] Symlink = 0xa000,

    /// <summary>A socket.</summary>
    [CConstant("S_IFSOCK")] Socket = 0xc000,
}

/// <summary>A time of a file.</summary>
/// <param name="Seconds">Since 1970; may be negative.</param>
/// <param name="Nanoseconds">0 to 999,999,999.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct RawTime(long Seconds, uint Nanoseconds)
{
    /// <summary>True where this time lies behind another one.</summary>
    /// <param name="other">The other one.</param>
    public bool IsAfter(RawTime other) =>
        Seconds != other.Seconds ? Seconds > other.Seconds : Nanoseconds > other.Nanoseconds;
}

/// <summary>What the kernel tells of a file, without following it where it is a link.</summary>
/// <param name="Type">What it is.</param>
/// <param name="Permissions">The lower 12 bits of its mode.</param>
/// <param name="Owner">The user's id.</param>
/// <param name="Group">The group's id.</param>
/// <param name="Links">How many names it has.</param>
/// <param name="Inode">Its number in its file system.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Allocated">Bytes that it takes in its file system.</param>
/// <param name="Modified">When its contents were changed.</param>
/// <param name="Changed">When its contents or attributes were changed, which no program can set.</param>
/// <param name="Device">Of a device node, which device: major, minor.</param>
/// <param name="FileSystem">The file system that it is in: major, minor.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct RawStat(
    RawFileType Type, int Permissions, uint Owner, uint Group, uint Links, ulong Inode, long Length, long Allocated,
    RawTime Modified,
    RawTime Changed, (uint Major, uint Minor) Device, (uint Major, uint Minor) FileSystem);
