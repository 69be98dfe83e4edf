namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>linux/fs.h</c>: requests to block devices and file systems.</summary>
[CHeader("linux/fs.h")]
internal static class LinuxFs
{
    /// <summary>Stores the device's length in bytes as a u64.</summary>
    [CConstant] internal const uint BLKGETSIZE64 = 0x80081272;

    /// <summary>Makes a file share the octets of another one, where the file system can.</summary>
    [CConstant] internal const uint FICLONE = 0x40049409;
}
