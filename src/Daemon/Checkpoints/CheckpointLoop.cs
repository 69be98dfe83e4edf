using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Checkpoints;

/// <summary>The loop: checkpoints, one after the other, as <see cref="CheckpointScheduler{TOrder}"/> says.</summary>
internal sealed class CheckpointLoop(
    NodeCore core, CheckpointQueue queue, NodeStateFile file, NodeChannels channels, CheckpointTaker taker)
{
    /// <summary>Between two looks at the links to other nodes, and at the timers.</summary>
    internal static readonly TimeSpan MaxSleep = TimeSpan.FromSeconds(1);

    /// <summary>Ticks that a protocol may skip when an operator asks: those that skip do so where forced checkpoints came
    /// before the timer's, one tick for each index that they were ahead.</summary>
    private const int MaxSkips = 1 << 16;

    private readonly Dictionary<string, bool> _connected = new(StringComparer.Ordinal);

    // Says to whoever asked what became of it: when the turn is free, since who hears it may ask for something else at once.
    private Action? _tell;

    /// <summary>Runs until the node stops.</summary>
    internal async Task RunAsync()
    {
        while (!core.Stop.IsCancellationRequested)
        {
            core.Pulse.Beat();
            try
            {
                ReportPeers();
                channels.TellOldest();
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
                core.Log.Defect(e);
            }

            await queue.WaitAsync(Sleep()).ConfigureAwait(false);
        }
    }

    private TimeSpan Sleep()
    {
        // A turn that somebody else has is waited for, and so is the end of a recovery, not asked about all the time.
        TimeSpan sleep = queue.Schedule.Left(WorkPulse.Now) ?? MaxSleep;
        return sleep < MaxSleep && (sleep > TimeSpan.Zero || (core.Turn.CurrentCount > 0 && file.State.Pending is null)) ? sleep : MaxSleep;
    }

    // True where something was done, and more may be there to do.
    private async Task<bool> StepAsync()
    {
        if (file.State.Pending is not null || queue.Schedule.Next(WorkPulse.Now) is SchedulerAction<WaitingOrder>.Wait)
        {
            return false;
        }

        if (!await core.Turn.WaitAsync(0).ConfigureAwait(false))
        {
            return false;
        }

        try
        {
            return await TakeNextAsync().ConfigureAwait(false);
        }
        finally
        {
            _ = core.Turn.Release();
            Action? tell = _tell;
            _tell = null;
            tell?.Invoke();
        }
    }

    private async Task<bool> TakeNextAsync()
    {
        switch (queue.Schedule.Next(WorkPulse.Now))
        {
            case SchedulerAction<WaitingOrder>.Ask ask:
                if (!Ask(ask.Order))
                {
                    return true;
                }

                break;
            case SchedulerAction<WaitingOrder>.Retry:
                queue.Change(schedule => schedule.Retried());
                channels.Messages.Retry();
                break;
            case SchedulerAction<WaitingOrder>.Tick:
                queue.SetTimer(soon: false);

                // A node without guests has nothing to save, and nobody who could notice. One with peers keeps up with them: a line that
                // it has no checkpoint of is one that nobody can go back to.
                if (core.Settings.Nodes.Count > 1 || core.Hypervisor.ListDomains().Any(d => d.Id != 0))
                {
                    _ = channels.Messages.Tick(CheckpointCause.Basic);
                }

                break;
        }

        if (queue.Schedule.Next(WorkPulse.Now) is not SchedulerAction<WaitingOrder>.Take take)
        {
            return false;
        }

        queue.Change(schedule => schedule.Taking());
        await TakeAsync(take.Begun, take.Order).ConfigureAwait(false);
        return true;
    }

    // An operator's request is not skipped. Another cause may come first: then the order waits for the next turn.
    private bool Ask(WaitingOrder waiting)
    {
        bool begins = false;
        for (int i = 0; i < MaxSkips && !begins && queue.Schedule.Begun is null; i++)
        {
            begins = channels.Messages.Tick(CheckpointCause.Requested);
        }

        queue.Change(schedule => schedule.Answered(waiting, begins));
        if (begins || queue.Schedule.Begun is not null)
        {
            return true;
        }

        _ = waiting.Completion.TrySetException(StatusException.Because(
            StatusCode.Aborted, Problems.Hypervisor, "The checkpoint protocol begins no checkpoint now; try again."));
        return false;
    }

    private async Task TakeAsync(BegunCheckpoint begun, WaitingOrder? own)
    {
        core.SetState(V1.NodeState.Checkpointing);
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(
            core.Stop.Token, own?.CancellationToken ?? CancellationToken.None);
        queue.SetCurrent(giveUp);
        try
        {
            V1.CheckpointReport report = await taker.SaveAsync(begun, own?.Order, giveUp.Token).ConfigureAwait(false);
            channels.Messages.CheckpointDone();
            taker.Saved(report);
            _tell = () => own?.Completion.TrySetResult(report);
        }
        catch (OperationCanceledException)
        {
            channels.Messages.CheckpointFailed();
            core.Log.CheckpointGivenUp(begun.Label, begun.Cause);
            queue.Change(schedule => schedule.GivenUp(WorkPulse.Now));
            StatusException reason = core.Stop.IsCancellationRequested
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
            channels.Messages.CheckpointFailed();
            taker.Failed(begun, e);
            _tell = () => own?.Completion.TrySetException(Problems.StatusOf(e) ?? e);
            if (begun.Cause == CheckpointCause.Forced)
            {
                core.Log.RetryLater(queue.Schedule.RetryDelay);
            }

            queue.Change(schedule => schedule.Failed(begun.Cause, WorkPulse.Now));
        }
        finally
        {
            queue.SetCurrent(null);
            core.SetState(V1.NodeState.Ready);
        }
    }

    private void ReportPeers()
    {
        foreach (PeerStatus peer in channels.Messages.Peers)
        {
            if (!_connected.TryGetValue(peer.Name, out bool connected) || connected != peer.Connected)
            {
                _connected[peer.Name] = peer.Connected;
                core.Events.Add(new V1.Event { PeerChanged = Messages.From(peer) });
            }
        }
    }

    // The peers hear of it only once it is on disk: from then on they need not keep what another adoption would take.
    private async Task SettleAsync()
    {
        if (Settles is null || !await core.Turn.WaitAsync(0).ConfigureAwait(false))
        {
            return;
        }

        try
        {
            if (Settles is { } node && file.State.Pending is null)
            {
                file.Write(file.State with
                {
                    Departures = [.. file.State.Departures.Select(d => d.Node == node ? d with { Settled = true } : d)],
                });
                channels.Messages.Settle(node);
                channels.TellSettled();
                core.Log.Settled(node);
            }
        }
        finally
        {
            _ = core.Turn.Release();
        }
    }

    private string? Settles => channels.Messages.ToSettle ?? RecoveryChoices.HeardSettled(file.State, core.Settings.Node, channels.Messages.Peers);
}
