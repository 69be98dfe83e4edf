namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>linux/if_tun.h</c>: taps.</summary>
[CHeader("linux/if_tun.h")]
internal static class LinuxIfTun
{
    /// <summary>Makes the descriptor the other end of an interface: <c>struct ifreq</c>, in and out.</summary>
    [CConstant] internal const uint TUNSETIFF = 0x400454ca;

    /// <summary>Says what the reader does itself, as an integer.</summary>
    [CConstant] internal const uint TUNSETOFFLOAD = 0x400454d0;

    /// <summary>Sets the length of the header before each frame: a pointer to an int.</summary>
    [CConstant] internal const uint TUNSETVNETHDRSZ = 0x400454d8;

    [CConstant] internal const short IFF_TAP = 0x0002;
    [CConstant] internal const short IFF_NO_PI = 0x1000;
    [CConstant] internal const short IFF_VNET_HDR = 0x4000;

    /// <summary>Frames may come without their checksum.</summary>
    [CConstant] internal const uint TUN_F_CSUM = 0x01;

    /// <summary>TCP segments over IPv4 may come uncut.</summary>
    [CConstant] internal const uint TUN_F_TSO4 = 0x02;

    /// <summary>TCP segments over IPv6 may come uncut.</summary>
    [CConstant] internal const uint TUN_F_TSO6 = 0x04;
}

/// <summary><c>linux/virtio_net.h</c>.</summary>
[CHeader("linux/virtio_net.h")]
internal static class LinuxVirtioNet
{
    /// <summary>The length of the header that tells of checksums and segments.</summary>
    [CConstant("sizeof(struct virtio_net_hdr)")] internal const int HeaderLength = 10;
}

/// <summary><c>linux/sockios.h</c>: requests to network interfaces, each with <c>struct ifreq</c>.</summary>
[CHeader("linux/sockios.h")]
internal static class LinuxSockios
{
    /// <summary>Puts an interface, by its index, into the bridge that is named.</summary>
    [CConstant] internal const uint SIOCBRADDIF = 0x89a2;
}
