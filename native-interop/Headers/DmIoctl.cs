using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>linux/dm-ioctl.h</c>: requests to <c>/dev/mapper/control</c>. Every request returns 0, or -1 with errno
/// set: ENXIO where a device does not exist, EBUSY where it exists already or is open, EINVAL where a target refuses its
/// parameters or its message.</summary>
[CHeader("linux/dm-ioctl.h")]
internal static class DmIoctlH
{
    [CConstant] internal const uint DM_VERSION = 0xC138FD00;
    [CConstant] internal const uint DM_LIST_DEVICES = 0xC138FD02;
    [CConstant] internal const uint DM_DEV_CREATE = 0xC138FD03;
    [CConstant] internal const uint DM_DEV_REMOVE = 0xC138FD04;
    [CConstant] internal const uint DM_DEV_SUSPEND = 0xC138FD06;
    [CConstant] internal const uint DM_DEV_STATUS = 0xC138FD07;
    [CConstant] internal const uint DM_TABLE_LOAD = 0xC138FD09;
    [CConstant] internal const uint DM_TABLE_CLEAR = 0xC138FD0A;
    [CConstant] internal const uint DM_TABLE_STATUS = 0xC138FD0C;
    [CConstant] internal const uint DM_TARGET_MSG = 0xC138FD0E;

    /// <summary>A kernel accepts requests of its own major version and of minor versions up to its own. 4.0 has all that
    /// is used here, and every kernel since 2.6 accepts it.</summary>
    [CConstant] internal const uint DM_VERSION_MAJOR = 4;

    [CConstant] internal const uint DM_READONLY_FLAG = 1 << 0;

    /// <summary>With <see cref="DM_DEV_SUSPEND"/>: suspend; without it: resume. Out: the device is suspended.</summary>
    [CConstant] internal const uint DM_SUSPEND_FLAG = 1 << 1;

    [CConstant] internal const uint DM_STATUS_TABLE_FLAG = 1 << 4;
    [CConstant] internal const uint DM_ACTIVE_PRESENT_FLAG = 1 << 5;
    [CConstant] internal const uint DM_INACTIVE_PRESENT_FLAG = 1 << 6;
    [CConstant] internal const uint DM_BUFFER_FULL_FLAG = 1 << 8;
    [CConstant] internal const uint DM_SKIP_LOCKFS_FLAG = 1 << 10;
    [CConstant] internal const uint DM_NOFLUSH_FLAG = 1 << 11;
    [CConstant] internal const uint DM_DATA_OUT_FLAG = 1 << 16;
    [CConstant] internal const uint DM_DEFERRED_REMOVE = 1 << 17;

    [CConstant] internal const int DM_NAME_LEN = 128;
    [CConstant] internal const int DM_UUID_LEN = 129;
    [CConstant] internal const int DM_MAX_TYPE_NAME = 16;

    /// <summary>Offset of the text in <c>struct dm_target_msg</c>, behind its sector.</summary>
    [CConstant("offsetof(struct dm_target_msg, message)")]
    internal const int MessageOffset = 8;

    /// <summary>Offset of the name in <c>struct dm_name_list</c>: u64 dev, u32 next, char name[].</summary>
    [CConstant("offsetof(struct dm_name_list, name)")]
    internal const int NameListName = 12;

    [CConstant("offsetof(struct dm_name_list, next)")]
    internal const int NameListNext = 8;
}

/// <summary><c>struct dm_ioctl</c>: the head of every request; data follows it at <see cref="data_start"/>.</summary>
[CStruct("struct dm_ioctl")]
[CHeader("linux/dm-ioctl.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct DmIoctl
{
    internal DmVersion version;
    internal uint data_size;
    internal uint data_start;
    internal uint target_count;
    internal int open_count;
    internal uint flags;
    internal uint event_nr;
    internal uint padding;
    internal ulong dev;
    internal DmName name;
    internal DmUuid uuid;
    internal DmTail data;
}

/// <summary><c>struct dm_target_spec</c>: one target of a table; its parameters follow it.</summary>
[CStruct("struct dm_target_spec")]
[CHeader("linux/dm-ioctl.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct DmTargetSpec
{
    internal ulong sector_start;
    internal ulong length;
    internal int status;
    internal uint next;
    internal DmTypeName target_type;
}

/// <summary>Major, minor, patch.</summary>
[InlineArray(3)]
[StructLayout(LayoutKind.Sequential)]
internal struct DmVersion
{
    private uint _first;
}

/// <summary>A device's name, zero-terminated.</summary>
[InlineArray(DmIoctlH.DM_NAME_LEN)]
[StructLayout(LayoutKind.Sequential)]
internal struct DmName
{
    private byte _first;
}

/// <summary>A device's UUID, zero-terminated.</summary>
[InlineArray(DmIoctlH.DM_UUID_LEN)]
[StructLayout(LayoutKind.Sequential)]
internal struct DmUuid
{
    private byte _first;
}

/// <summary>The rest of <see cref="DmIoctl"/>.</summary>
[InlineArray(7)]
[StructLayout(LayoutKind.Sequential)]
internal struct DmTail
{
    private byte _first;
}

/// <summary>A target's type, zero-terminated.</summary>
[InlineArray(DmIoctlH.DM_MAX_TYPE_NAME)]
[StructLayout(LayoutKind.Sequential)]
internal struct DmTypeName
{
    private byte _first;
}
