using System.Diagnostics;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>
/// Tells when domains go down. One watch on xenstore's <c>@releaseDomain</c>, and one thread that takes its events, serve
/// all domains: xenstored tells every watch of every domain, so with a watch for each the events of a node that is
/// suspended would be as many as its domains squared.
/// </summary>
/// <param name="xen">The hypervisor; stays the caller's.</param>
internal sealed class XenShutdownWatch(XenInterface xen) : IDisposable
{
    /// <summary>The longest sleep without looking at the domain: a lost watch event costs at most this.</summary>
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly List<Waiter> _waiters = [];
    private readonly CancellationTokenSource _ended = new();
    private Thread? _thread;

    /// <summary>Connects and watches, where that has not been done: it takes longer than a guest's suspension.</summary>
    /// <exception cref="XenException">xenstored does not answer.</exception>
    internal void Open()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_ended.IsCancellationRequested, this);
            if (_thread is not null)
            {
                return;
            }

            XenStore store = XenStore.Open(cancellationToken: _ended.Token);
            try
            {
                store.Watch("@releaseDomain", "release", _ended.Token);
            }
            catch
            {
                store.Dispose();
                throw;
            }

            _thread = new Thread(() => Serve(store)) { IsBackground = true, Name = "domains that go down" };
            _thread.Start();
        }
    }

    /// <summary>True where the domain has shut down for whatever reason, or is gone.</summary>
    /// <param name="domid">The domain's id.</param>
    internal bool IsDown(uint domid) => !xen.TryGetDomain(domid, out XcDomainInfo info) || info.IsShutdown || info.IsDying;

    /// <summary>Waits until a domain is down.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="timeout">How long at most.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>False where it is not down, and time is up or the wait was ended.</returns>
    /// <exception cref="XenException">The domain, or xenstored, cannot be asked.</exception>
    internal async Task<bool> WaitAsync(uint domid, TimeSpan timeout, CancellationToken cancellationToken)
    {
        Open();
        var waiter = new Waiter(domid);
        lock (_gate)
        {
            _waiters.Add(waiter);
        }

        try
        {
            // What happened before the waiter was in the list may have been told to nobody.
            long start = Stopwatch.GetTimestamp();
            while (!IsDown(domid))
            {
                TimeSpan left = timeout - Stopwatch.GetElapsedTime(start);
                if (left <= TimeSpan.Zero || cancellationToken.IsCancellationRequested)
                {
                    return false;
                }

                await waiter.Down.Task.WaitAsync(left < PollInterval ? left : PollInterval, cancellationToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            return true;
        }
        finally
        {
            lock (_gate)
            {
                _ = _waiters.Remove(waiter);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Thread? thread;
        lock (_gate)
        {
            _ended.Cancel();
            thread = _thread;
        }

        thread?.Join();
        _ended.Dispose();
    }

    private void Serve(XenStore store)
    {
        using (store)
        {
            while (!_ended.IsCancellationRequested)
            {
                try
                {
                    _ = store.WaitForWatch(Timeout.InfiniteTimeSpan, out _, _ended.Token);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
                catch (XenException)
                {
                    // xenstored hangs, or is gone. Who waits looks at its domain from time to time, and so is done here.
                    _ = _ended.Token.WaitHandle.WaitOne(PollInterval);
                }

                Tell();
            }
        }
    }

    private void Tell()
    {
        lock (_gate)
        {
            foreach (Waiter waiter in _waiters)
            {
                try
                {
                    if (!waiter.Down.Task.IsCompleted && IsDown(waiter.Domid))
                    {
                        waiter.Down.SetResult();
                    }
                }
                catch (XenException)
                {
                    // Who waits asks itself, and has the error then.
                    _ = waiter.Down.TrySetResult();
                }
            }
        }
    }

    private sealed class Waiter(uint domid)
    {
        internal uint Domid => domid;

        // What waits for it does not run on the thread that serves the others.
        internal TaskCompletionSource Down { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
