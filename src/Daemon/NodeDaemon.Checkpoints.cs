using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Daemon.Checkpoints;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>The loop: checkpoints, one after the other.</content>
public sealed partial class NodeDaemon
{
    /// <summary>Ticks that a protocol may skip when an operator asks: those that skip do so where forced checkpoints came
    /// before the timer's, one tick for each index that they were ahead.</summary>
    private const int MaxSkips = 1 << 16;

    /// <summary>Between two looks at the links to other nodes, and at the timers.</summary>
    private static readonly TimeSpan MaxSleep = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _wake = new(0);
    private readonly Dictionary<string, bool> _connected = new(StringComparer.Ordinal);
    private CheckpointScheduler<Waiting> _schedule = new();
    private CancellationTokenSource? _current;

    // Says to whoever asked what became of it: when the turn is free, since who hears it may ask for something else at once.
    private Action? _tell;

    /// <summary>Orders that have not begun, for tests.</summary>
    internal int Queued
    {
        get
        {
            lock (_gate)
            {
                return _schedule.Orders.Count;
            }
        }
    }

    /// <inheritdoc/>
    void INodeCheckpoints.Begin(long label, CheckpointCause cause, ForcingMessage? forcedBy)
    {
        Change(schedule => schedule.Begins(new BegunCheckpoint(label, cause, forcedBy)));
        Wake();
    }

    /// <summary>Takes a checkpoint of all domains together, after those that were asked for before.</summary>
    /// <param name="order">What is wanted.</param>
    /// <param name="cancellationToken">Before the domains are suspended, gives it up.</param>
    /// <returns>The report, when the checkpoint is in the store.</returns>
    /// <exception cref="StatusException">As Checkpoint in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<V1.CheckpointReport> CheckpointAsync(CheckpointOrder order, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(order);
        RequireStarted();
        _ = Resolve(order);
        var waiting = new Waiting(order, cancellationToken);
        lock (_gate)
        {
            if (_file!.State.Pending is { } pending)
            {
                throw Interrupted(pending);
            }

            if (_state is V1.NodeState.Recovering or V1.NodeState.Restoring)
            {
                throw Problems.IsBusy("A recovery or a restore is under way; ask again when it has ended.");
            }

            _schedule = _schedule.Ordered(waiting);
            if (_state == V1.NodeState.Checkpointing || _schedule.Orders.Count > 1)
            {
                order.Progress?.Report(new V1.CheckpointProgress { Stage = V1.CheckpointStage.Queued });
            }
        }

        Wake();
        using CancellationTokenRegistration gone = cancellationToken.Register(() =>
        {
            // One that is being taken ends by itself.
            lock (_gate)
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

    private static StatusException Interrupted(PendingRecovery pending) => Problems.IsBusy(
        $"A recovery to line {pending.Order.Line} with incarnation {pending.Order.Incarnation} has begun and not ended: run 'xtlctl cluster recover' again.");

    private void Wake()
    {
        if (_wake.CurrentCount == 0)
        {
            _ = _wake.Release();
        }
    }

    private void FailOrders(StatusException reason)
    {
        lock (_gate)
        {
            foreach (Waiting? waiting in _schedule.Orders.Append(_schedule.Bound))
            {
                _ = waiting?.Completion.TrySetException(reason);
            }

            _schedule = _schedule.Emptied();
        }
    }

    private static TimeSpan Now => WorkPulse.Now;

    private TimeSpan? NextBasic() => CheckpointScheduler<Waiting>.NextBasic(
        Now, _settings.BasicInterval, _settings.BasicJitter, Random.Shared.NextDouble());

    private void Change(Func<CheckpointScheduler<Waiting>, CheckpointScheduler<Waiting>> change)
    {
        lock (_gate)
        {
            _schedule = change(_schedule);
        }
    }

    private CheckpointScheduler<Waiting> Schedule
    {
        get
        {
            lock (_gate)
            {
                return _schedule;
            }
        }
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            _pulse.Beat();
            try
            {
                ReportPeers();
                await SettleAsync().ConfigureAwait(false);
                if (await StepAsync().ConfigureAwait(false))
                {
                    continue;
                }
            }
#pragma warning disable CA1031 // The loop is the node: whatever happens to one checkpoint, it goes on with the next.
            catch (Exception e)
#pragma warning restore CA1031
            {
                _log.Defect(e);
            }

            _ = await _wake.WaitAsync(Sleep()).ConfigureAwait(false);
        }
    }

    private TimeSpan Sleep()
    {
        // A turn that somebody else has is waited for, and so is the end of a recovery, not asked about all the time.
        TimeSpan sleep = Schedule.Left(Now) ?? MaxSleep;
        return sleep < MaxSleep && (sleep > TimeSpan.Zero || (_turn.CurrentCount > 0 && _file!.State.Pending is null)) ? sleep : MaxSleep;
    }

    // True where something was done, and more may be there to do.
    private async Task<bool> StepAsync()
    {
        if (_file!.State.Pending is not null || Schedule.Next(Now) is SchedulerAction<Waiting>.Wait)
        {
            return false;
        }

        if (!await _turn.WaitAsync(0).ConfigureAwait(false))
        {
            return false;
        }

        try
        {
            return await TakeNextAsync().ConfigureAwait(false);
        }
        finally
        {
            _ = _turn.Release();
            Action? tell = _tell;
            _tell = null;
            tell?.Invoke();
        }
    }

    private async Task<bool> TakeNextAsync()
    {
        switch (Schedule.Next(Now))
        {
            case SchedulerAction<Waiting>.Ask ask:
                if (!Ask(ask.Order))
                {
                    return true;
                }

                break;
            case SchedulerAction<Waiting>.Retry:
                Change(schedule => schedule.Retried());
                _messages!.Retry();
                break;
            case SchedulerAction<Waiting>.Tick:
                Change(schedule => schedule.BasicIsAt(NextBasic()));

                // A node without guests has nothing to save, and nobody who could notice.
                if (Hypervisor.ListDomains().Any(d => d.Id != 0))
                {
                    _ = _messages!.Tick(CheckpointCause.Basic);
                }

                break;
        }

        if (Schedule.Next(Now) is not SchedulerAction<Waiting>.Take take)
        {
            return false;
        }

        Change(schedule => schedule.Taking());
        await TakeAsync(take.Begun, take.Order).ConfigureAwait(false);
        return true;
    }

    // An operator's request is not skipped. Another cause may come first: then the order waits for the next turn.
    private bool Ask(Waiting waiting)
    {
        bool begins = false;
        for (int i = 0; i < MaxSkips && !begins && Schedule.Begun is null; i++)
        {
            begins = _messages!.Tick(CheckpointCause.Requested);
        }

        Change(schedule => schedule.Answered(waiting, begins));
        if (begins || Schedule.Begun is not null)
        {
            return true;
        }

        _ = waiting.Completion.TrySetException(StatusException.Because(
            StatusCode.Aborted, Problems.Hypervisor, "The checkpoint protocol begins no checkpoint now; try again."));
        return false;
    }

    private async Task TakeAsync(BegunCheckpoint begun, Waiting? own)
    {
        SetState(V1.NodeState.Checkpointing);
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(
            _stop.Token, own?.CancellationToken ?? CancellationToken.None);
        lock (_gate)
        {
            _current = giveUp;
        }

        try
        {
            V1.CheckpointReport report = await SaveAsync(begun, own?.Order, giveUp.Token).ConfigureAwait(false);
            _messages!.CheckpointDone();
            Saved(report);
            _tell = () => own?.Completion.TrySetResult(report);
        }
        catch (OperationCanceledException)
        {
            _messages!.CheckpointFailed();
            _log.CheckpointGivenUp(begun.Label, begun.Cause);
            Change(schedule => schedule.GivenUp(Now));
            StatusException reason = _stop.IsCancellationRequested
                ? Problems.Stopping()
                : Problems.IsBusy("A recovery has begun.");
            _tell = own?.CancellationToken.IsCancellationRequested == true
                ? () => own.Completion.TrySetCanceled(own.CancellationToken)
                : () => own?.Completion.TrySetException(reason);
        }
#pragma warning disable CA1031 // Whatever happens, the messages learn of the end.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _messages!.CheckpointFailed();
            Failed(begun, e);
            _tell = () => own?.Completion.TrySetException(Problems.StatusOf(e) ?? e);
            if (begun.Cause == CheckpointCause.Forced)
            {
                _log.RetryLater(Schedule.RetryDelay);
            }

            Change(schedule => schedule.Failed(begun.Cause, Now));
        }
        finally
        {
            lock (_gate)
            {
                _current = null;
            }

            SetState(V1.NodeState.Ready);
        }
    }

    private async Task<V1.CheckpointReport> SaveAsync(
        BegunCheckpoint begun, CheckpointOrder? order, CancellationToken cancellationToken)
    {
        CheckpointReport report = await _checkpointer!.CheckpointAsync(
            (ulong)begun.Label, order?.Label ?? "", new Relay(this, order),
            new CheckpointSettings
            {
                Domains = order is null ? null : Resolve(order),
                MemoryOnly = order?.MemoryOnly == true ? true : null,
                SuspendTimeout = order?.SuspendTimeout,
                AskAll = order is not null,

                // Messages of other nodes wait for it, and with them their guests.
                Urgent = begun.Cause is CheckpointCause.Forced or CheckpointCause.Recovery,

                // The index has to rise for others, also where there is nothing to save.
                AllowEmpty = begun.Cause is CheckpointCause.Forced or CheckpointCause.Recovery || _settings.Nodes.Count > 1,
            },
            cancellationToken).ConfigureAwait(false);
        _log.CheckpointTaken(
            report.Index, begun.Cause, report.Domains.Count, report.Pause.TotalMilliseconds, report.Epoch);
        foreach (LeftOutDomain domain in report.LeftOut.Where(d => d.Reason != "excluded"))
        {
            _log.LeftOut(report.Index, domain.Name, domain.Reason, domain.Message);
        }

        return Daemon.Messages.From(report, begun.Cause, begun.ForcedBy);
    }

    private void Saved(V1.CheckpointReport report)
    {
        Change(schedule => schedule.Saved());
        _messages!.DurableIndex = _messages.Index;
        Events.Add(new V1.Event { CheckpointTaken = report });
        Events.Add(new V1.Event { DurableSn = (ulong)_messages.DurableIndex });
        _tidying!.Begin();
    }

    private void Failed(BegunCheckpoint begun, Exception e)
    {
        // Where the store is full, that makes room.
        _tidying!.Begin();
        StatusException? status = Problems.StatusOf(e);
        if (status is null)
        {
            _log.Defect(e);
        }
        else
        {
            _log.CheckpointFailed(begun.Label, begun.Cause, e.Message);
        }

        Events.Add(new V1.Event
        {
            CheckpointFailed = new V1.Failure
            {
                Reason = status?.Reason ?? "",
                Message = status?.Message ?? "The daemon has a defect; its log tells more.",
            },
        });
    }

    // The domains that an order names; null for all.
    private List<Guid>? Resolve(CheckpointOrder order)
    {
        if (order.Domains.Count == 0)
        {
            return null;
        }

        if (_settings.Nodes.Count > 1)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Partial,
                "A node with peers is saved as a whole: a checkpoint of some domains would be none for its index.");
        }

        return [.. order.Domains.Select(d => Hypervisor.FindDomain(d) is { Id: not 0 } found
            ? found.Uuid
            : throw new DomainNotFoundException($"'{d}' that is a guest"))];
    }

    private void ReportPeers()
    {
        foreach (PeerStatus peer in _messages!.Peers)
        {
            if (!_connected.TryGetValue(peer.Name, out bool connected) || connected != peer.Connected)
            {
                _connected[peer.Name] = peer.Connected;
                Events.Add(new V1.Event { PeerChanged = Daemon.Messages.From(peer) });
            }
        }
    }

    private sealed record Waiting(CheckpointOrder Order, CancellationToken CancellationToken)
    {
        internal TaskCompletionSource<V1.CheckpointReport> Completion { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Progress for events and for the one who asked: each stage, and within it a few a second.</summary>
    private sealed class Relay(NodeDaemon node, CheckpointOrder? order) : IProgress<CheckpointProgress>
    {
        private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(250);

        private CheckpointStage? _stage;
        private TimeSpan _told;

        public void Report(CheckpointProgress value)
        {
            node.Goes(value.Stage, order?.SuspendTimeout);
            if (value.Stage == CheckpointStage.Done
                || (value.Stage == _stage && WorkPulse.Now - _told < Least))
            {
                return;
            }

            _stage = value.Stage;
            _told = WorkPulse.Now;
            node.Events.Add(new V1.Event { CheckpointProgress = Daemon.Messages.From(value) });
            order?.Progress?.Report(Daemon.Messages.From(value));
        }
    }
}
