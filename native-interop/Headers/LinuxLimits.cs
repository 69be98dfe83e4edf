namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>linux/limits.h</c>.</summary>
[CHeader("linux/limits.h")]
internal static class LinuxLimits
{
    /// <summary>Octets of a path, its final zero included.</summary>
    [CConstant] internal const int PATH_MAX = 4096;

    /// <summary>Octets of an extended attribute's name, without a final zero.</summary>
    [CConstant] internal const int XATTR_NAME_MAX = 255;

    /// <summary>Octets of an extended attribute's value.</summary>
    [CConstant] internal const int XATTR_SIZE_MAX = 65536;

    /// <summary>Octets of the names of a file's extended attributes.</summary>
    [CConstant] internal const int XATTR_LIST_MAX = 65536;
}
