using System.Collections.Concurrent;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>
/// Lets suspended domains go on, one caller at a time, and watches over those that may still suspend after the
/// request was given up.
/// </summary>
/// <remarks>
/// To resume a domain, libxenguest first writes the return value of the suspend hypercall into its virtual CPUs and
/// then wakes it. Of two that do so side by side, the slower one rewrites the registers of a guest that runs already,
/// and crashes it. The gate is the process's: it serves all connections.
/// </remarks>
internal sealed class XenResumption
{
    private static readonly ConcurrentDictionary<Guid, XenResumption> Domains = new();

    /// <summary>How long xenstored has to take note of a guest that runs again, while others wait to be resumed.</summary>
    private static readonly TimeSpan NoteLimit = TimeSpan.FromSeconds(1);

    /// <summary>How often a domain is looked at, should a watch event be lost.</summary>
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private CancellationTokenSource? _watch;

    // The domain was resumed, and xenstored has not been told: it would not tell anybody of the domain's next end.
    private bool _owed;

    private XenResumption()
    {
    }

    /// <summary>The one for a domain.</summary>
    internal static XenResumption Of(Guid uuid) => Domains.GetOrAdd(uuid, static _ => new XenResumption());

    /// <summary>Resumes the domain where it is suspended.</summary>
    /// <param name="xen">The hypervisor.</param>
    /// <param name="store">The store.</param>
    /// <param name="domid">The domain's id.</param>
    /// <param name="uuid">The domain's UUID.</param>
    /// <returns>False where the domain is gone.</returns>
    internal bool Resume(XenInterface xen, XenStore store, uint domid, Guid uuid)
    {
        lock (_gate)
        {
            if (!xen.TryGetDomain(domid, out XcDomainInfo info) || info.Uuid != uuid || info.IsDying)
            {
                return false;
            }

            if (XenDomain.IsSuspended(info))
            {
                xen.Resume(domid);
                _owed = true;
                try
                {
                    if (!store.IsSilent)
                    {
                        Settle(store, domid, NoteLimit);
                    }
                }
                catch (XenException)
                {
                    // Told below.
                }

                if (_owed)
                {
                    // The guest runs, and others wait for their turn.
                    _ = Task.Run(() => SettleLater(domid, uuid), CancellationToken.None);
                }
            }

            return true;
        }
    }

    /// <summary>Tells xenstored of a resumption that it has not been told of; nothing where there is none.</summary>
    /// <param name="store">The store.</param>
    /// <param name="domid">The domain's id.</param>
    /// <param name="limit">How long xenstored has; null for what it has otherwise.</param>
    /// <exception cref="XenException">It does not answer.</exception>
    internal void Settle(XenStore store, uint domid, TimeSpan? limit = null)
    {
        lock (_gate)
        {
            if (_owed)
            {
                store.ResumeDomain(domid, limit);

                // Last: of a guest that is suspended, the mark says by whom.
                XenSuspendNodes.End(store, domid);
                _owed = false;
            }
        }
    }

    /// <summary>True while a watch is kept over the domain.</summary>
    internal bool IsWatching
    {
        get
        {
            lock (_gate)
            {
                return _watch is { IsCancellationRequested: false };
            }
        }
    }

    /// <summary>Undoes a request that nobody waits for any more. Ends the watch; the caller keeps it from now on.</summary>
    /// <param name="xen">The hypervisor.</param>
    /// <param name="store">The store.</param>
    /// <param name="domid">The domain's id.</param>
    /// <param name="uuid">The domain's UUID.</param>
    /// <returns>What was left of it; null where the domain is gone.</returns>
    internal SuspendRemains? Undo(XenInterface xen, XenStore store, uint domid, Guid uuid)
    {
        lock (_gate)
        {
            _watch?.Cancel();
            _watch = null;
            if (!xen.TryGetDomain(domid, out XcDomainInfo info) || info.Uuid != uuid || info.IsDying)
            {
                return null;
            }

            // Where this software did not ask, a suspended guest is another program's.
            if (!XenSuspendNodes.WasAsked(store, domid)
                || (!XenDomain.IsSuspended(info) && (info.IsShutdown || XenSuspendNodes.Withdraw(store, domid))))
            {
                return SuspendRemains.None;
            }

            // It may have suspended since it was looked at.
            if (!xen.TryGetDomain(domid, out info) || !XenDomain.IsSuspended(info))
            {
                return SuspendRemains.MayFollow;
            }

            return Resume(xen, store, domid, uuid) ? SuspendRemains.Resumed : null;
        }
    }

    /// <summary>Resumes the domain when it suspends, in the background and for as long as that takes.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="uuid">The domain's UUID.</param>
    internal void WatchFor(uint domid, Guid uuid)
    {
        var watch = new CancellationTokenSource();
        lock (_gate)
        {
            _watch?.Cancel();
            _watch = watch;
        }

        _ = Task.Run(() => ResumeWhenSuspended(domid, uuid, watch.Token), CancellationToken.None);
    }

    /// <summary>Ends the watch, for a caller that wants the domain suspended.</summary>
    /// <returns>True where there was one: if the domain is suspended now, nobody else wants to resume it.</returns>
    internal bool TakeOver()
    {
        lock (_gate)
        {
            bool watched = _watch is { IsCancellationRequested: false };
            _watch?.Cancel();
            _watch = null;
            return watched;
        }
    }

    // Until xenstored answers, or somebody else has told it, or the domain is gone.
    private void SettleLater(uint domid, Guid uuid)
    {
        while (true)
        {
            Thread.Sleep(PollInterval);
            try
            {
                using XenInterface xen = XenInterface.Open();
                using XenStore store = XenStore.Open();
                if (xen.TryGetDomain(domid, out XcDomainInfo info) && info.Uuid == uuid && !info.IsDying)
                {
                    Settle(store, domid, NoteLimit);
                }

                return;
            }
            catch (XenNotFoundException)
            {
                // xenstored was started anew, and knows nothing of the domain.
                return;
            }
            catch (XenException)
            {
                // Not yet.
            }
        }
    }

    private void ResumeWhenSuspended(uint domid, Guid uuid, CancellationToken ended)
    {
        try
        {
            // Connections of its own: those of the caller may be closed long before.
            using XenInterface xen = XenInterface.Open();
            using XenStore store = XenStore.Open(cancellationToken: ended);
            bool watched = false;
            while (xen.TryGetDomain(domid, out XcDomainInfo info) && info.Uuid == uuid && !info.IsShutdown)
            {
                try
                {
                    if (!watched)
                    {
                        store.Watch("@releaseDomain", "release", ended);
                        watched = true;
                    }

                    _ = store.WaitForWatch(PollInterval, out _, ended);
                }
                catch (XenException)
                {
                    // Without xenstored the domain is looked at as often.
                    _ = ended.WaitHandle.WaitOne(PollInterval);
                }
            }

            lock (_gate)
            {
                if (!ended.IsCancellationRequested)
                {
                    Resume(xen, store, domid, uuid);
                    _watch = null;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Somebody took over.
        }
        catch (XenException)
        {
            // The domain, or Xen's daemon, is gone; whoever connects next finds the domain's state.
        }
    }
}
