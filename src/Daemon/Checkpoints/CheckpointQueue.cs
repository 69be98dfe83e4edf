using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Checkpoints;

/// <summary>An order, and whoever waits for it.</summary>
/// <param name="Order">What is wanted.</param>
/// <param name="CancellationToken">Gives it up.</param>
internal sealed record WaitingOrder(CheckpointOrder Order, CancellationToken CancellationToken)
{
    /// <summary>Told of the end.</summary>
    internal TaskCompletionSource<V1.CheckpointReport> Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>The node's schedule of checkpoints, where orders, messages and the loop meet. Thread-safe.</summary>
internal sealed class CheckpointQueue(NodeCore core, NodeStateFile file) : INodeCheckpoints, IDisposable
{
    private readonly SemaphoreSlim _wake = new(0);
    private CheckpointScheduler<WaitingOrder> _schedule = new();
    private CancellationTokenSource? _current;

    /// <summary>The schedule as it is.</summary>
    internal CheckpointScheduler<WaitingOrder> Schedule
    {
        get
        {
            lock (core.Gate)
            {
                return _schedule;
            }
        }
    }

    /// <inheritdoc/>
    void INodeCheckpoints.Begin(long label, CheckpointCause cause, ForcingMessage? forcedBy)
    {
        Change(schedule => schedule.Begins(new BegunCheckpoint(label, cause, forcedBy)));
        Wake();
    }

    /// <summary>Something has happened to the schedule.</summary>
    /// <param name="change">Gives the schedule after it.</param>
    internal void Change(Func<CheckpointScheduler<WaitingOrder>, CheckpointScheduler<WaitingOrder>> change)
    {
        lock (core.Gate)
        {
            _schedule = change(_schedule);
        }
    }

    /// <summary>The timer of basic checkpoints has a new time.</summary>
    /// <param name="soon">True where it fires at once.</param>
    internal void SetTimer(bool soon) => Change(schedule => schedule.BasicIsAt(CheckpointScheduler<WaitingOrder>.NextBasic(
        WorkPulse.Now, soon && core.Settings.BasicInterval is not null ? TimeSpan.Zero : core.Settings.BasicInterval,
        core.Settings.BasicJitter, Random.Shared.NextDouble())));

    /// <summary>The loop looks at the schedule.</summary>
    internal void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            _ = _wake.Release();
        }
    }

    /// <summary>Waits until <see cref="Wake"/>.</summary>
    /// <param name="atMost">The longest time.</param>
    internal Task WaitAsync(TimeSpan atMost) => _wake.WaitAsync(atMost);

    /// <summary>Waits for a checkpoint, in turn.</summary>
    /// <param name="order">What is wanted.</param>
    /// <param name="cancellationToken">Before the domains are suspended, gives it up.</param>
    /// <exception cref="StatusException">A recovery or a restore is under way, or the checkpoint failed.</exception>
    internal async Task<V1.CheckpointReport> OrderAsync(CheckpointOrder order, CancellationToken cancellationToken)
    {
        var waiting = new WaitingOrder(order, cancellationToken);
        lock (core.Gate)
        {
            if (file.State.Pending is { } pending)
            {
                throw Problems.Interrupted(pending);
            }

            if (core.State is V1.NodeState.Recovering or V1.NodeState.Restoring)
            {
                throw Problems.IsBusy("A recovery or a restore is under way; ask again when it has ended.");
            }

            _schedule = _schedule.Ordered(waiting);
            if (core.State == V1.NodeState.Checkpointing || _schedule.Orders.Count > 1)
            {
                order.Progress?.Report(new V1.CheckpointProgress { Stage = V1.CheckpointStage.Queued });
            }
        }

        Wake();
        using CancellationTokenRegistration gone = cancellationToken.Register(() =>
        {
            // One that is being taken ends by itself.
            lock (core.Gate)
            {
                if (_schedule.Orders.Contains(waiting))
                {
                    _schedule = _schedule.Withdrawn(waiting);
                    _ = waiting.Completion.TrySetCanceled(cancellationToken);
                }
            }
        });
        return await waiting.Completion.Task.ConfigureAwait(false);
    }

    /// <summary>Ends all orders.</summary>
    /// <param name="reason">Why.</param>
    internal void Fail(StatusException reason)
    {
        lock (core.Gate)
        {
            foreach (WaitingOrder? waiting in _schedule.Orders.Append(_schedule.Bound))
            {
                _ = waiting?.Completion.TrySetException(reason);
            }

            _schedule = _schedule.Emptied();
        }
    }

    /// <summary>What has begun is given up.</summary>
    /// <returns>False where nothing has begun.</returns>
    internal bool GiveUpBegun()
    {
        // A message may have begun a checkpoint since the last turn ended.
        lock (core.Gate)
        {
            bool begun = _schedule.Begun is not null;
            _schedule = begun ? _schedule.GivenUpBegun() : _schedule;
            return begun;
        }
    }

    /// <summary>A checkpoint is being taken, or none is any more.</summary>
    /// <param name="giveUp">Gives it up; null for none.</param>
    internal void SetCurrent(CancellationTokenSource? giveUp)
    {
        lock (core.Gate)
        {
            _current = giveUp;
        }
    }

    /// <summary>Gives up the checkpoint that is being taken, where that is still possible.</summary>
    internal void GiveUpCurrent()
    {
        lock (core.Gate)
        {
            try
            {
                _current?.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // It has just ended.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _wake.Dispose();
}
