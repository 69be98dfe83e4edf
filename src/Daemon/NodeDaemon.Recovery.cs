using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>The node's part of a recovery of the cluster: what it promises, and that it is carried out
/// (<see cref="RecoveryExecution"/>).</content>
public sealed partial class NodeDaemon
{
    private static readonly TimeSpan RaiseAgain = TimeSpan.FromSeconds(1);

    // Checkpoints whose images were found whole for the recovery that is promised.
    private readonly HashSet<Guid> _seenWhole = [];

    /// <summary>Takes part in a recovery.</summary>
    /// <param name="request">The line, the incarnation, the lost nodes, and what is asked.</param>
    /// <param name="cancellationToken">Gives up; the call may be made again.</param>
    /// <exception cref="StatusException">As Recover in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<V1.RecoverResponse> RecoverAsync(V1.RecoverRequest request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        RequireStarted();
        if (State == V1.NodeState.Restoring)
        {
            throw Problems.IsBusy("A restore is under way; ask again when it has ended.");
        }

        if (request.Phase == V1.RecoverPhase.DryRun)
        {
            return Foretell(request);
        }

        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stop.Token);
        await TakeTurnAsync(giveUp.Token).ConfigureAwait(false);
        try
        {
            OrderVerdict verdict = Judge(request, out RecoveryOrder order);
            if (verdict == OrderVerdict.Done)
            {
                return Repeated();
            }

            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                // What was whole then may not be so any more.
                _seenWhole.Clear();
            }

            using RecoveryTask task = await Task.Run(() => Plan(order, looks: true), CancellationToken.None).ConfigureAwait(false);
            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                if (verdict == OrderVerdict.Promise)
                {
                    _file!.Write(_file.State with { Promised = order });
                    _log.Promised($"{order}");
                }

                return task.Foretell();
            }

            FailOrders(Problems.IsBusy("A recovery has begun."));
            SetState(V1.NodeState.Recovering);
            _seenWhole.Clear();
            return await Task.Run(() => RecoverAsync(task, giveUp.Token), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            SetState(V1.NodeState.Ready);
            _ = _turn.Release();
            Wake();
        }
    }

    private V1.RecoverResponse Foretell(V1.RecoverRequest request)
    {
        if (Judge(request, out RecoveryOrder order) == OrderVerdict.Done)
        {
            return Repeated();
        }

        using RecoveryTask task = Plan(order, looks: false);
        return task.Foretell();
    }

    // The answer of the same call before.
    private V1.RecoverResponse Repeated() => V1.RecoverResponse.Parser.ParseFrom(_file!.State.Last!.Response);

    // A checkpoint that is being taken is given up where that is still possible.
    private async Task TakeTurnAsync(CancellationToken cancellationToken)
    {
        Task turn = _turn.WaitAsync(cancellationToken);
        while (!turn.IsCompleted)
        {
            CancellationTokenSource? current;
            lock (_gate)
            {
                current = _current;
                try
                {
                    current?.Cancel();
                }
                catch (ObjectDisposedException)
                {
                    // It has just ended.
                }
            }

            await turn.WaitAsync(MaxSleep, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await turn.ConfigureAwait(false);
    }

    private async Task<V1.RecoverResponse> RecoverAsync(RecoveryTask task, CancellationToken cancellationToken)
    {
        _log.Recovering(
            task.Order.Line, task.Order.Incarnation,
            task.Member is { } m ? $"its domains go back to checkpoint {m.Closing.Index}" : "its domains go on");
        using var carrier = new RecoveryCarrier(this, task);
        await carrier.CarryOutAsync(cancellationToken).ConfigureAwait(false);
        _log.Recovered(task.Order.Line, task.Order.Incarnation, _messages!.Index);
        Events.Add(new V1.Event { DurableSn = (ulong)_messages.DurableIndex });
        Events.Add(new V1.Event { Recovered = carrier.Response });
        return carrier.Response!;
    }

    // A batch may force a checkpoint at any moment before the messages stand still, and says so a moment later.
    private void StopMessages()
    {
        while (!TryQuiesce())
        {
            Thread.Sleep(1);
        }
    }

    private bool TryQuiesce()
    {
        GiveUpBegun();
        try
        {
            _messages!.Quiesce();
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    // A message may have begun a checkpoint since the last turn ended.
    private void GiveUpBegun()
    {
        lock (_gate)
        {
            if (_schedule.Begun is null)
            {
                return;
            }

            _schedule = _schedule.GivenUpBegun();
        }

        _messages!.CheckpointFailed();
    }

    // The line waits for this checkpoint: it is tried until it succeeds, or the caller gives up.
    private async Task RaiseAsync(CancellationToken cancellationToken)
    {
        while (Schedule.Begun is { } begun)
        {
            try
            {
                V1.CheckpointReport report = await SaveAsync(begun, null, cancellationToken).ConfigureAwait(false);
                Change(schedule => schedule.Taking());
                _messages!.CheckpointDone();
                Saved(report);
            }
            catch (CheckpointFailedException e)
            {
                Failed(begun, e);
                await Task.Delay(RaiseAgain, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private MessagesState MessagesNow => new(
        _messages!.Index, _messages.Incarnation, _messages.AwaitsRecovery, _messages.AwaitsAdoption, Raises: Schedule.Begun is not null);
}
