using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Turns errno values into exceptions.</summary>
internal static class XenErrors
{
    /// <summary>What is to be done where xenstored has ended. It keeps all in memory; only a live update hands it over.</summary>
    [NotInC("A text.")]
    internal const string StoreGone =
        "xenstored does not run ('systemctl status xenstored', 'pidof xenstored oxenstored'). What it knew of the domains that run "
        + "is gone with it: shut guests down from inside, and start the host again.";

    /// <summary>Throws for a call that just failed, by the errno it left.</summary>
    /// <param name="source">What was called: the same errno means different things to different callees.</param>
    /// <param name="operation">What was attempted, in words that follow "Could not".</param>
    [DoesNotReturn]
    internal static void Throw(XenErrorSource source, string operation) =>
        throw Create(source, operation, Marshal.GetLastPInvokeError());

    /// <summary>Throws for a failed operation on one domain.</summary>
    [DoesNotReturn]
    internal static void ThrowForDomain(string operation, uint domid) =>
        Throw(XenErrorSource.Hypercall, $"{operation} domain {domid}");

    internal static XenException Create(XenErrorSource source, string operation, int errno, string more = "")
    {
        string message = $"Could not {operation}: {Errno.Describe(errno)}.{more}{Hint(source, errno)}";
        return (source, errno) switch
        {
            (_, Errno.EPERM or Errno.EACCES) => new XenPermissionException(operation, errno, message),
            (XenErrorSource.Device, Errno.ENOENT or Errno.ENXIO or Errno.ENODEV or Errno.ECONNREFUSED) =>
                new XenUnavailableException(operation, errno, message),
            (XenErrorSource.Store, Errno.ETIMEDOUT) => new XenTimeoutException(operation, errno, message),
            (XenErrorSource.Store, Errno.EPIPE or Errno.ECONNRESET or Errno.EBADF) =>
                new XenUnavailableException(operation, errno, message),
            (_, Errno.ESRCH or Errno.ENOENT) => new XenNotFoundException(operation, errno, message),
            (_, Errno.EBUSY) => new XenBusyException(operation, errno, message),
            (XenErrorSource.DirtyLogStart, Errno.EINVAL) => new XenBusyException(operation, errno, message),
            (_, Errno.ENOSYS or Errno.EOPNOTSUPP) => new XenUnsupportedException(operation, errno, message),
            _ => new XenException(operation, errno, message),
        };
    }

    private static string Hint(XenErrorSource source, int errno) => (source, errno) switch
    {
        (XenErrorSource.Device or XenErrorSource.Store, Errno.EPERM or Errno.EACCES) =>
            " Run as root in the control domain (Dom0).",
        (XenErrorSource.Device, Errno.ENOENT or Errno.ENXIO or Errno.ENODEV) =>
            " Is this the control domain (Dom0) of a Xen host?",
        (XenErrorSource.Device, Errno.ECONNREFUSED) =>
            $" {StoreGone}",
        (XenErrorSource.Hypercall or XenErrorSource.DirtyLogStart, Errno.EPERM) =>
            " Only the control domain may do this, and a security policy (XSM) may forbid it even there.",
        // do_domctl answers EACCES to an interface version that is not its own.
        (XenErrorSource.Hypercall or XenErrorSource.DirtyLogStart, Errno.EACCES) =>
            " Xen's libraries and the running hypervisor are of different releases; reboot into the installed one.",
        (XenErrorSource.Hypercall or XenErrorSource.DirtyLogStart, Errno.ESRCH) => " There is no such domain.",
        (XenErrorSource.DirtyLogStart, Errno.EINVAL) =>
            " Another program records this domain's dirty pages already (a migration, a save), or a device is passed"
            + " through to the domain.",
        (XenErrorSource.Store, Errno.EPIPE or Errno.ECONNRESET or Errno.EBADF) =>
            " xenstored closed the connection. The next call makes a new one.",
        // Never to be killed for that.
        (XenErrorSource.Store, Errno.ETIMEDOUT) =>
            " xenstored hangs, or has too much to do ('xenstore-ls /local/domain/0', 'top'). Do not end it: all that it knows of "
            + "the domains that run is in its memory. The next call asks again.",
        _ => "",
    };
}

/// <summary>What a failed call was made to.</summary>
[NotInC("Managed only.")]
internal enum XenErrorSource
{
    /// <summary>A device or socket that was to be opened.</summary>
    Device,

    /// <summary>The hypervisor.</summary>
    Hypercall,

    /// <summary>The hypervisor, asked to start a dirty log: EINVAL means that there is one.</summary>
    DirtyLogStart,

    /// <summary>xenstored.</summary>
    Store,
}
