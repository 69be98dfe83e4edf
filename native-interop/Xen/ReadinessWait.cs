using System.Diagnostics;
using System.Runtime.InteropServices;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Waits for a descriptor to become readable, with a timeout and a cancellation token.</summary>
internal static class ReadinessWait
{
    /// <summary>Waits for <paramref name="fd"/>.</summary>
    /// <param name="owner">Keeps the descriptor open during the wait.</param>
    /// <param name="fd">A descriptor of <paramref name="owner"/>.</param>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>False at the timeout.</returns>
    internal static bool Wait(SafeHandle owner, int fd, TimeSpan timeout, CancellationToken cancellationToken) =>
        Wait(owner, fd, Libc.Poll.POLLIN, timeout, cancellationToken);

    /// <summary>Waits for <paramref name="fd"/>.</summary>
    /// <param name="owner">Keeps the descriptor open during the wait.</param>
    /// <param name="fd">A descriptor of <paramref name="owner"/>.</param>
    /// <param name="events">What to wait for: POLLIN, POLLOUT. Its end, and an error, end the wait, too.</param>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/> for ever.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <param name="other">A second descriptor, whose becoming readable ends the wait, too; the caller keeps it open. -1 for none.
    /// </param>
    /// <returns>False at the timeout.</returns>
    internal static bool Wait(
        SafeHandle owner, int fd, short events, TimeSpan timeout, CancellationToken cancellationToken, int other = -1)
    {
        cancellationToken.ThrowIfCancellationRequested();
        bool added = false;
        owner.DangerousAddRef(ref added);
        try
        {
            if (!cancellationToken.CanBeCanceled)
            {
                return Poll(fd, events, -1, other, timeout);
            }

            // The token cannot interrupt poll(2), so it makes a second descriptor readable.
            int wake = EventDescriptor.Make();
            if (wake < 0)
            {
                XenErrors.Throw(XenErrorSource.Device, "make an event descriptor");
            }

            try
            {
                using CancellationTokenRegistration registration =
                    cancellationToken.UnsafeRegister(_ => EventDescriptor.Set(wake), null);
                bool ready = Poll(fd, events, wake, other, timeout);
                cancellationToken.ThrowIfCancellationRequested();
                return ready;
            }
            finally
            {
                // The registration was disposed above, which waits for a running callback: nobody writes any more.
                _ = LibC.close(wake);
            }
        }
        finally
        {
            owner.DangerousRelease();
        }
    }

    private static bool Poll(int fd, short events, int wake, int other, TimeSpan timeout)
    {
        // poll(2) ignores negative descriptors.
        Span<PollFd> fds =
        [
            new PollFd { fd = fd, events = events },
            new PollFd { fd = wake, events = Libc.Poll.POLLIN },
            new PollFd { fd = other, events = Libc.Poll.POLLIN },
        ];
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            int wait = -1;
            if (timeout != Timeout.InfiniteTimeSpan)
            {
                TimeSpan left = timeout - Stopwatch.GetElapsedTime(start);
                wait = (int)Math.Clamp(Math.Ceiling(left.TotalMilliseconds), 0, int.MaxValue);
            }

            int ready = Libc.Poll.poll(ref MemoryMarshal.GetReference(fds), (nuint)fds.Length, wait);
            if (ready >= 0)
            {
                return fds[0].revents != 0 || fds[2].revents != 0;
            }

            if (Marshal.GetLastPInvokeError() != Errno.EINTR)
            {
                XenErrors.Throw(XenErrorSource.Device, "wait for a descriptor");
            }
        }
    }
}
