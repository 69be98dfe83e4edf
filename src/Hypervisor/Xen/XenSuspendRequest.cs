using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>
/// One request to a guest to suspend itself, through its xenstore node <c>control/shutdown</c> (Xen,
/// docs/misc/xenstore-paths; the toolstack's own procedure is libxl's).
/// </summary>
/// <param name="xen">The hypervisor.</param>
/// <param name="store">The store, for requests; waits use a connection of their own.</param>
/// <param name="domain">The domain.</param>
/// <param name="timeout">How long the guest has in all.</param>
internal sealed class XenSuspendRequest(XenInterface xen, XenStore store, XenDomain domain, TimeSpan timeout)
{
    private const string Request = "suspend";

    /// <summary>The longest sleep without looking at the domain: a lost watch event costs at most this.</summary>
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    private readonly string _node = $"{store.GetDomainPath((uint)domain.Id)}/control/shutdown";
    private readonly long _start = Stopwatch.GetTimestamp();

    private uint Domid => (uint)domain.Id;

    private TimeSpan Left => timeout - Stopwatch.GetElapsedTime(_start);

    /// <summary>Makes the request and waits until the guest is suspended.</summary>
    /// <param name="cancellationToken">Gives up early.</param>
    /// <exception cref="SuspendFailedException">The guest did not suspend; it runs on.</exception>
    /// <exception cref="OperationCanceledException">The attempt was given up; the guest runs on.</exception>
    internal void Run(CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            // An earlier request that was given up may come true only now.
            bool mayBeSuspended = XenResumption.Of(domain.Uuid).TakeOver();
            if (mayBeSuspended && xen.TryGetDomain(Domid, out XcDomainInfo info) && XenDomain.IsSuspended(info))
            {
                return;
            }

            RequireRunning();
            using XenStore watcher = XenStore.Open();
            watcher.Watch(_node, "control");
            watcher.Watch("@releaseDomain", "release");
            store.Write(_node, Request);
            if (WaitUntil(() => store.Read(_node) != Request || IsDown(), watcher, cancellationToken))
            {
                if (WaitUntil(IsDown, watcher, cancellationToken))
                {
                    RequireSuspended();
                    return;
                }

                Abandon(
                    $"it acknowledged the request and did not suspend within {timeout.TotalSeconds:0.###} s.",
                    cancellationToken);
            }
            else if (Withdraw())
            {
                throw Failed(
                    SuspendStage.Acknowledge,
                    $"it did not acknowledge the request within {timeout.TotalSeconds:0.###} s. A guest without "
                    + "Xen's PV drivers, or one that hangs or still boots, does not.",
                    cancellationToken);
            }
            else
            {
                Abandon(
                    $"it acknowledged the request only after {timeout.TotalSeconds:0.###} s.", cancellationToken);
            }
        }
        catch (XenException e)
        {
            throw domain.Translate(e);
        }
    }

    private void RequireRunning()
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

        if (store.Read(_node) is { Length: > 0 } other)
        {
            throw new SuspendFailedException(
                domain.Label, SuspendStage.Request, $"another request ('{other}') waits for it already.");
        }
    }

    private bool IsDown() => !xen.TryGetDomain(Domid, out XcDomainInfo info) || info.IsShutdown || info.IsDying;

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
    }

    /// <summary>Waits for a condition; false when time is up or the attempt is given up.</summary>
    private bool WaitUntil(Func<bool> condition, XenStore watcher, CancellationToken cancellationToken)
    {
        while (!condition())
        {
            TimeSpan left = Left;
            if (left <= TimeSpan.Zero || cancellationToken.IsCancellationRequested)
            {
                return false;
            }

            try
            {
                watcher.WaitForWatch(left < PollInterval ? left : PollInterval, out _, cancellationToken);
            }
            catch (OperationCanceledException)
            {
                return condition();
            }
        }

        return true;
    }

    /// <summary>Takes the request back.</summary>
    /// <returns>False where the guest has acknowledged it meanwhile. Only a transaction can tell.</returns>
    private bool Withdraw()
    {
        while (true)
        {
            using XenStoreTransaction transaction = store.BeginTransaction();
            if (transaction.Read(_node) != Request)
            {
                return false;
            }

            transaction.Write(_node, "");
            if (transaction.Commit())
            {
                return true;
            }
        }
    }

    /// <summary>A request that was acknowledged cannot be taken back: the guest may suspend at any moment, and is then
    /// resumed. The watch over it outlives this call.</summary>
    [DoesNotReturn]
    private void Abandon(string reason, CancellationToken cancellationToken)
    {
        XenResumption.Of(domain.Uuid).WatchFor(Domid, domain.Uuid);
        throw Failed(SuspendStage.Suspend, reason, cancellationToken);
    }

    private Exception Failed(SuspendStage stage, string reason, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested
            ? new OperationCanceledException($"The suspension of domain {domain.Label} was given up.", cancellationToken)
            : new SuspendFailedException(domain.Label, stage, reason);
}
