using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Event channels of the control domain (<c>xenevtchn</c>).</summary>
/// <remarks>One thread waits on a handle at a time.</remarks>
public sealed class EventChannel : SafeHandle
{
    private static readonly string[] Devices = ["/dev/xen/evtchn"];

    private EventChannel(nint handle)
        : base(nint.Zero, ownsHandle: true) => SetHandle(handle);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>Opens the event channel device.</summary>
    /// <returns>A handle that the caller disposes; disposing unbinds its ports.</returns>
    /// <exception cref="XenUnavailableException">The library or the device is missing.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    public static EventChannel Open()
    {
        const string Operation = "open event channels";
        XenLibraries.Load(XenLibrary.EventChannel);
        RunningHypervisor.RequireDevice(Devices, Operation);
        nint opened = Xenevtchn.xenevtchn_open(nint.Zero, 0);
        if (opened == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Device, Operation);
        }

        return new EventChannel(opened);
    }

    /// <summary>Binds the interrupt that Xen raises when any domain shuts down or dies.</summary>
    /// <returns>The local port.</returns>
    /// <exception cref="XenException">EEXIST where another program (xenstored) holds it.</exception>
    public uint BindDomainException() => Port(
        Xenevtchn.xenevtchn_bind_virq(this, Xenevtchn.VIRQ_DOM_EXC), "bind the domain exception interrupt");

    /// <summary>Binds a new local port to a port of a domain.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="remotePort">The domain's port, such as the one in its <c>device/suspend/event-channel</c>.</param>
    /// <returns>The local port.</returns>
    public uint BindInterdomain(uint domid, uint remotePort) => Port(
        Xenevtchn.xenevtchn_bind_interdomain(this, domid, remotePort),
        $"bind event channel {remotePort} of domain {domid}");

    /// <summary>Signals a port.</summary>
    /// <param name="port">A local port.</param>
    public void Notify(uint port) => Port(Xenevtchn.xenevtchn_notify(this, port), $"signal event channel {port}");

    /// <summary>Lets a port deliver again after <see cref="TryReadPending"/> returned it.</summary>
    /// <param name="port">A local port.</param>
    public void Unmask(uint port) => Port(Xenevtchn.xenevtchn_unmask(this, port), $"unmask event channel {port}");

    /// <summary>Unbinds a port.</summary>
    /// <param name="port">A local port.</param>
    public void Unbind(uint port) => Port(Xenevtchn.xenevtchn_unbind(this, port), $"unbind event channel {port}");

    /// <summary>Waits for an event and takes it.</summary>
    /// <param name="timeout">How long to wait; zero does not wait.</param>
    /// <param name="port">The pending port, masked until <see cref="Unmask"/>.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>False where nothing came in time.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public bool TryReadPending(TimeSpan timeout, out uint port, CancellationToken cancellationToken = default)
    {
        int fd = Xenevtchn.xenevtchn_fd(this);
        if (fd < 0)
        {
            XenErrors.Throw(XenErrorSource.Device, "wait for events");
        }

        // Reading blocks where nothing is pending, whatever the descriptor's flags.
        port = 0;
        if (!ReadinessWait.Wait(this, fd, timeout, cancellationToken))
        {
            return false;
        }

        port = Port(Xenevtchn.xenevtchn_pending(this), "read a pending event");
        return true;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Xenevtchn.xenevtchn_close(handle) == 0;

    private static uint Port(int result, string operation)
    {
        if (result < 0)
        {
            XenErrors.Throw(XenErrorSource.Hypercall, operation);
        }

        return (uint)result;
    }
}
