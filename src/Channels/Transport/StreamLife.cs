using Grpc.Core;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Channels;

/// <summary>How long streams may last: to the end of an incarnation, and to the end of all.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class StreamLife : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();
    private CancellationTokenSource _life = new();
    private TaskCompletionSource _changed = NewSource();

    /// <summary>Cancelled when all ends.</summary>
    internal CancellationToken Stopped => _stop.Token;

    internal bool IsStopping => _stop.IsCancellationRequested;

    internal static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whoever waits for frames to be carried looks again.</summary>
    internal void Changed()
    {
        lock (_lock)
        {
            _changed.TrySetResult();
            _changed = NewSource();
        }
    }

    /// <summary>Ends the streams of an incarnation.</summary>
    internal void EndIncarnation()
    {
        CancellationTokenSource ended;
        lock (_lock)
        {
            ended = _life;
            _life = new CancellationTokenSource();
        }

        ended.Cancel();
    }

    /// <summary>Ends all streams. Their tokens stay good for who still holds one.</summary>
    public async ValueTask DisposeAsync()
    {
        Changed();
        await _stop.CancelAsync().ConfigureAwait(false);
        EndIncarnation();
    }

    /// <summary>Waits until frames are carried.</summary>
    /// <param name="isRunning">True where they are, in an incarnation that will do; called under the owner's lock, as
    /// <see cref="EndIncarnation"/> is after it is not so any more.</param>
    /// <param name="owner">The owner's lock.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Cancelled when the incarnation ends.</returns>
    /// <exception cref="StatusException">The node is stopping.</exception>
    internal async Task<CancellationToken> RunningAsync(Func<bool> isRunning, Lock owner, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (owner)
            {
                lock (_lock)
                {
                    if (IsStopping)
                    {
                        throw new StatusException(StatusCode.Unavailable, "The node is stopping.");
                    }

                    if (isRunning())
                    {
                        return _life.Token;
                    }

                    changed = _changed.Task;
                }
            }

            await changed.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }
}
