using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xen/io/xs_wire.h</c>: what xenstored and its clients say to each other, over a socket or through the kernel's
/// <c>/dev/xen/xenbus</c>.</summary>
[CHeader("xen/io/xs_wire.h")]
internal static class XsWire
{
    [CConstant] internal const uint XS_DIRECTORY = 1;
    [CConstant] internal const uint XS_READ = 2;
    [CConstant] internal const uint XS_WATCH = 4;
    [CConstant] internal const uint XS_UNWATCH = 5;
    [CConstant] internal const uint XS_TRANSACTION_START = 6;
    [CConstant] internal const uint XS_TRANSACTION_END = 7;
    [CConstant] internal const uint XS_GET_DOMAIN_PATH = 10;
    [CConstant] internal const uint XS_WRITE = 11;
    [CConstant] internal const uint XS_RM = 13;
    [CConstant] internal const uint XS_WATCH_EVENT = 15;
    [CConstant] internal const uint XS_ERROR = 16;
    [CConstant] internal const uint XS_IS_DOMAIN_INTRODUCED = 17;
    [CConstant] internal const uint XS_RESUME = 18;

    /// <summary>A part of a directory whose names do not fit into one answer.</summary>
    [CConstant] internal const uint XS_DIRECTORY_PART = 22;

    /// <summary>The longest body of a message, in octets.</summary>
    [CConstant] internal const int XENSTORE_PAYLOAD_MAX = 4096;
}

/// <summary><c>struct xsd_sockmsg</c>: what each message begins with.</summary>
[CStruct("struct xsd_sockmsg")]
[CHeader("xen/io/xs_wire.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct XsHeader
{
    /// <summary>A value of <see cref="XsWire"/>.</summary>
    internal uint type;

    /// <summary>The request's number, which the answer repeats.</summary>
    internal uint req_id;

    /// <summary>The transaction; 0 for none.</summary>
    internal uint tx_id;

    /// <summary>Octets of the body.</summary>
    internal uint len;
}
