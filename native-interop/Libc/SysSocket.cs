using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/socket.h</c> of glibc.</summary>
[CHeader("sys/socket.h")]
internal static partial class SysSocket
{
    [CConstant] internal const int AF_INET = 2;
    [CConstant] internal const int SOCK_DGRAM = 2;
    [CConstant] internal const int SOCK_CLOEXEC = 0x80000;

    /// <summary>Makes a socket. Returns its descriptor, which the caller closes, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int socket(int domain, int type, int protocol);
}
