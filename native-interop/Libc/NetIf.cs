using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>net/if.h</c> of glibc: the argument of requests to network interfaces.</summary>
[CHeader("net/if.h")]
internal static class NetIf
{
    [CConstant("sizeof(struct ifreq)")] internal const int IfreqLength = 40;
    [CConstant("__builtin_offsetof(struct ifreq, ifr_name)")] internal const int NameOffset = 0;
    [CConstant("__builtin_offsetof(struct ifreq, ifr_flags)")] internal const int FlagsOffset = 16;
    [CConstant("__builtin_offsetof(struct ifreq, ifr_ifindex)")] internal const int IndexOffset = 16;
    [CConstant("__builtin_offsetof(struct ifreq, ifr_mtu)")] internal const int MtuOffset = 16;
    [CConstant("__builtin_offsetof(struct ifreq, ifr_qlen)")] internal const int QueueLengthOffset = 16;

    /// <summary>A name's most octets, with the zero behind it.</summary>
    [CConstant] internal const int IFNAMSIZ = 16;
    [CConstant] internal const short IFF_UP = 1;
}
