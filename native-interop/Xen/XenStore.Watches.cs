using System.Diagnostics.CodeAnalysis;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenStore
{
    /// <summary>Watches a node and all below it. A first event comes at once, without a change; another one whenever the connection
    /// was made anew, since what happened in between is not told.</summary>
    /// <param name="path">An absolute path, or <c>@introduceDomain</c> or <c>@releaseDomain</c> for domains that
    /// appear, shut down or go.</param>
    /// <param name="token">Comes back in each event of the watch.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public void Watch(string path, string token, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(token);
        Talk(
            new Call(
                XsWire.XS_WATCH, $"watch xenstore node {path}", [.. Encode(path), .. Encode(token)], Repeatable: true),
            null, cancellationToken, _ => _watches.Add((path, token)));
    }

    /// <summary>Ends a watch; none of its events comes any more.</summary>
    /// <param name="path">The path that was given to <see cref="Watch"/>.</param>
    /// <param name="token">The token that was given with it.</param>
    /// <param name="cancellationToken">Ends the call; the watch may have been ended all the same.</param>
    /// <returns>False where there was no such watch.</returns>
    public bool Unwatch(string path, string token, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(token);
        var call = new Call(
            XsWire.XS_UNWATCH, $"unwatch xenstore node {path}", [.. Encode(path), .. Encode(token)], Repeatable: true);
        try
        {
            Talk(call, null, cancellationToken, c =>
            {
                _ = _watches.Remove((path, token));
                c.Forget(path, token);
            });
            return true;
        }
        catch (XenNotFoundException)
        {
            return false;
        }
    }

    /// <summary>Takes the next watch event, where one waits. Does not wait for one.</summary>
    /// <param name="watchEvent">The event.</param>
    /// <param name="cancellationToken">Ends the call, where the connection has to be made anew.</param>
    /// <returns>False where none waits.</returns>
    public bool TryReadWatch(
        [NotNullWhen(true)] out XenStoreEvent? watchEvent, CancellationToken cancellationToken = default) =>
        TryTakeEvent(out watchEvent, out _, cancellationToken);

    /// <summary>Waits for a watch event and takes it.</summary>
    /// <param name="timeout">How long to wait; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <param name="watchEvent">The event.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>False where none came in time.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public bool WaitForWatch(
        TimeSpan timeout, [NotNullWhen(true)] out XenStoreEvent? watchEvent,
        CancellationToken cancellationToken = default)
    {
        var deadline = new Deadline(timeout);
        bool added = false;
        try
        {
            SafeFileHandle nudge = _nudge.Handle;
            nudge.DangerousAddRef(ref added);
            while (!TryTakeEvent(out watchEvent, out SafeFileHandle handle, cancellationToken))
            {
                try
                {
                    if (!ReadinessWait.Wait(
                            handle, (int)handle.DangerousGetHandle(), Poll.POLLIN, deadline.Left, cancellationToken,
                            (int)nudge.DangerousGetHandle()))
                    {
                        return false;
                    }
                }
                catch (ObjectDisposedException) when (!_disposed)
                {
                    // Another call has found the connection broken meanwhile.
                }
            }

            return true;
        }
        finally
        {
            if (added)
            {
                _nudge.Handle.DangerousRelease();
            }
        }
    }

    private bool TryTakeEvent(
        [NotNullWhen(true)] out XenStoreEvent? watchEvent, out SafeFileHandle handle, CancellationToken cancellationToken)
    {
        const string Operation = "read a xenstore watch event";
        Deadline deadline = Deadline();
        Enter(Operation, deadline, cancellationToken);
        try
        {
            for (bool again = false; ; again = true)
            {
                XenStoreConnection connection = Connected(deadline, cancellationToken);
                try
                {
                    // Before the look: what comes behind it rings again.
                    _nudge.Reset();
                    bool taken = connection.TryTakeEvent(out watchEvent);
                    handle = connection.Handle;
                    return taken;
                }
                catch (XenStoreLostException) when (!again)
                {
                    Drop();
                }
            }
        }
        catch (XenStoreLostException e)
        {
            Drop();
            throw XenErrors.Create(XenErrorSource.Store, Operation, e.Errno == 0 ? Errno.EPIPE : e.Errno);
        }
        catch (TimeoutException)
        {
            _silent = true;
            throw XenErrors.Create(XenErrorSource.Store, Operation, Errno.ETIMEDOUT);
        }
        finally
        {
            _ = _gate.Release();
        }
    }
}

/// <summary>A watched node, or one below it, changed.</summary>
/// <param name="Path">What changed; of a removed tree only the root is told.</param>
/// <param name="Token">The token of the watch.</param>
public sealed record XenStoreEvent(string Path, string Token);
