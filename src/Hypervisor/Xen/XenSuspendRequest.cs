using System.Diagnostics;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>
/// One request to a guest to suspend itself, through its xenstore node <c>control/shutdown</c> (Xen,
/// docs/misc/xenstore-paths; the toolstack's own procedure is libxl's).
/// </summary>
/// <param name="xen">The hypervisor.</param>
/// <param name="store">The store.</param>
/// <param name="downs">Tells when the domain is suspended.</param>
/// <param name="domain">The domain.</param>
/// <param name="timeout">How long the guest has in all.</param>
internal sealed class XenSuspendRequest(
    XenInterface xen, XenStore store, XenShutdownWatch downs, XenDomain domain, TimeSpan timeout)
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly XlSaves _saves = XlSaves.Recent();

    private uint Domid => (uint)domain.Id;

    private TimeSpan Left => timeout - Stopwatch.GetElapsedTime(_start);

    /// <summary>Makes the request and waits until the guest is suspended.</summary>
    /// <param name="cancellationToken">Gives up early.</param>
    /// <exception cref="SuspendFailedException">The guest did not suspend; it runs on.</exception>
    /// <exception cref="OperationCanceledException">The attempt was given up; the guest runs on.</exception>
    internal async Task RunAsync(CancellationToken cancellationToken)
    {
        bool asked = false;
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            // An earlier request that was given up may come true only now.
            bool mayBeSuspended = XenResumption.Of(domain.Uuid).TakeOver();
            if (mayBeSuspended && xen.TryGetDomain(Domid, out XcDomainInfo info) && XenDomain.IsSuspended(info))
            {
                return;
            }

            XenResumption.Of(domain.Uuid).Settle(store, Domid);
            RequireRunning(cancellationToken);
            asked = true;
            XenSuspendNodes.Ask(store, Domid, cancellationToken);
            if (await downs.WaitAsync(Domid, Left, cancellationToken).ConfigureAwait(false))
            {
                RequireSuspended();
                return;
            }

            // The guest acknowledges by changing the node. Whether it did is of interest only now: nothing is asked of
            // xenstored while the guest talks to it.
            if (XenSuspendNodes.Withdraw(store, Domid))
            {
                throw Failed(
                    SuspendStage.Acknowledge,
                    $"it did not acknowledge the request within {timeout.TotalSeconds:0.###} s. A guest without "
                    + "Xen's PV drivers, or one that hangs or still boots, does not.",
                    cancellationToken);
            }

            // A request that was acknowledged cannot be taken back: the guest may suspend at any moment, and is then
            // resumed. The watch over it outlives this call.
            XenResumption.Of(domain.Uuid).WatchFor(Domid, domain.Uuid);
            throw Failed(
                SuspendStage.Suspend,
                $"it acknowledged the request and did not suspend within {timeout.TotalSeconds:0.###} s.",
                cancellationToken);
        }
        catch (Exception e) when (e is XenException or OperationCanceledException)
        {
            if (asked && !XenResumption.Of(domain.Uuid).IsWatching)
            {
                // Whatever came of the request, nobody waits for it any more.
                TakeBack();
            }

            if (e is XenException x)
            {
                throw domain.Translate(x);
            }

            throw;
        }
    }

    // A call to xenstored failed, or was ended, with the request half made.
    private void TakeBack()
    {
        try
        {
            if (!store.IsSilent && XenSuspendNodes.Withdraw(store, Domid))
            {
                return;
            }
        }
        catch (XenException)
        {
            // It may follow.
        }

        XenResumption.Of(domain.Uuid).WatchFor(Domid, domain.Uuid);
    }

    private void RequireRunning(CancellationToken cancellationToken)
    {
        if (!xen.TryGetDomain(Domid, out XcDomainInfo info) || info.IsDying)
        {
            throw new DomainNotFoundException(domain.Label);
        }

        if (info.IsShutdown)
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Request,
                XenDomain.IsSuspended(info)
                    ? "it is suspended already, by another program."
                    : $"it has shut down ({(ShutdownReason)info.ShutdownReason}).");
        }

        if (info.IsPaused)
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Request, "it is paused and cannot answer; 'xl unpause' lets it run.");
        }

        // Its request and ours would be taken for each other, and resuming the guest would tear the other program's file.
        if (_saves.Include(domain.Id))
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Request, "it is being saved or migrated by 'xl' just now.");
        }

        if (XenSuspendNodes.Waiting(store, Domid, cancellationToken) is { Length: > 0 } other)
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Request, $"another request ('{other}') waits for it already.");
        }
    }

    private void RequireSuspended()
    {
        if (!xen.TryGetDomain(Domid, out XcDomainInfo info) || info.IsDying)
        {
            throw new DomainNotFoundException(domain.Label);
        }

        if (!XenDomain.IsSuspended(info))
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Suspend,
                $"it shut down instead ({(ShutdownReason)info.ShutdownReason}).");
        }

        // Then the suspension is as much that program's. It resumes the guest or destroys it, within a minute where the guest
        // did not get to see its request; resumed by us, the file would be torn.
        if (_saves.HasBegunSince(domain.Id))
        {
            XenSuspendNodes.End(store, Domid);
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Suspend, "'xl' began to save it at the same moment, and goes on with it.");
        }
    }

    private Exception Failed(SuspendStage stage, string reason, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested
            ? new OperationCanceledException($"The suspension of domain {domain.Label} was given up.", cancellationToken)
            : new SuspendFailedException(domain.Label, stage, reason);
}
