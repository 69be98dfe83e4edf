using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenStore
{
    /// <summary>Watches a node and all below it. A first event comes at once, without a change.</summary>
    /// <param name="path">An absolute path, or <c>@introduceDomain</c> or <c>@releaseDomain</c> for domains that
    /// appear, shut down or go.</param>
    /// <param name="token">Comes back in each event of the watch.</param>
    public void Watch(string path, string token)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(token);
        if (Xenstore.xs_watch(this, path, token) == 0)
        {
            XenErrors.Throw(XenErrorSource.Store, $"watch xenstore node {path}");
        }
    }

    /// <summary>Ends a watch; none of its events comes any more.</summary>
    /// <param name="path">The path that was given to <see cref="Watch"/>.</param>
    /// <param name="token">The token that was given with it.</param>
    /// <returns>False where there was no such watch.</returns>
    public bool Unwatch(string path, string token)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(token);
        return Xenstore.xs_unwatch(this, path, token) != 0 || !NotFoundOrThrow("unwatch", path);
    }

    /// <summary>Takes the next watch event, where one waits. Does not block.</summary>
    /// <param name="watchEvent">The event.</param>
    /// <returns>False where none waits.</returns>
    public bool TryReadWatch([NotNullWhen(true)] out XenStoreEvent? watchEvent)
    {
        nint block = Xenstore.xs_check_watch(this);
        if (block == nint.Zero)
        {
            if (Marshal.GetLastPInvokeError() != Errno.EAGAIN)
            {
                XenErrors.Throw(XenErrorSource.Store, "read a xenstore watch event");
            }

            watchEvent = null;
            return false;
        }

        try
        {
            watchEvent = new XenStoreEvent(
                Marshal.PtrToStringUTF8(Marshal.ReadIntPtr(block, Xenstore.XS_WATCH_PATH * nint.Size))!,
                Marshal.PtrToStringUTF8(Marshal.ReadIntPtr(block, Xenstore.XS_WATCH_TOKEN * nint.Size))!);
            return true;
        }
        finally
        {
            Stdlib.free(block);
        }
    }

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
        // Asking for the descriptor first makes libxenstore signal on it what it has queued already.
        int fd = Xenstore.xs_fileno(this);
        if (fd < 0)
        {
            XenErrors.Throw(XenErrorSource.Store, "wait for xenstore watch events");
        }

        var deadline = new Deadline(timeout);
        while (!TryReadWatch(out watchEvent))
        {
            if (!ReadinessWait.Wait(this, fd, deadline.Left, cancellationToken))
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>A watched node, or one below it, changed.</summary>
/// <param name="Path">What changed; of a removed tree only the root is told.</param>
/// <param name="Token">The token of the watch.</param>
public sealed record XenStoreEvent(string Path, string Token);
