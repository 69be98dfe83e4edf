using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xenevtchn.h</c> of libxenevtchn 1. Functions return -1 with errno set on failure.</summary>
[CHeader("xenevtchn.h")]
internal static partial class Xenevtchn
{
    /// <summary>VIRQ that the control domain gets when a domain shuts down or dies (<c>xen/xen.h</c>).</summary>
    [CConstant] internal const uint VIRQ_DOM_EXC = 3;

    /// <summary>Opens the event channel device. Returns a handle for <see cref="xenevtchn_close"/>, or null with
    /// errno set.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial nint xenevtchn_open(nint logger, uint flags);

    /// <summary>Closes a handle and unbinds its ports.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_close(nint xce);

    /// <summary>Returns the descriptor to poll for pending events; the handle keeps it.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_fd(EventChannel xce);

    /// <summary>Signals a local port.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_notify(EventChannel xce, uint port);

    /// <summary>Returns a new local port bound to a domain's port.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_bind_interdomain(EventChannel xce, uint domid, uint remote_port);

    /// <summary>Returns a local port bound to a virtual interrupt of the control domain.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_bind_virq(EventChannel xce, uint virq);

    /// <summary>Unbinds a local port.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_unbind(EventChannel xce, uint port);

    /// <summary>Returns the next pending port, masked until it is unmasked. Blocks where none is pending.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_pending(EventChannel xce);

    /// <summary>Unmasks a port, so that its next event is delivered.</summary>
    [LibraryImport(XenLibrary.EventChannel, SetLastError = true)]
    internal static partial int xenevtchn_unmask(EventChannel xce, uint port);
}
