using XenTwoLevelCkpt.Daemon.Checkpoints;
using XenTwoLevelCkpt.Protocol.Recovery;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>The node's part of recoveries of the cluster: what it promises, and that it is carried out
/// (<see cref="RecoveryExecution"/>).</summary>
internal sealed class NodeRecoveries(NodeCore core, NodeRuntime node)
{
    /// <summary>As <see cref="NodeDaemon.RecoverAsync"/>.</summary>
    internal async Task<V1.RecoverResponse> RecoverAsync(V1.RecoverRequest request, CancellationToken cancellationToken)
    {
        if (core.State == V1.NodeState.Restoring)
        {
            throw Problems.IsBusy("A restore is under way; ask again when it has ended.");
        }

        if (request.Phase == V1.RecoverPhase.DryRun)
        {
            return Foretell(request);
        }

        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, core.Stop.Token);
        await TakeTurnAsync(giveUp.Token).ConfigureAwait(false);
        try
        {
            OrderVerdict verdict = node.Planner.Judge(request, out RecoveryOrder order);
            if (verdict == OrderVerdict.Done)
            {
                return Repeated();
            }

            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                // What was whole then may not be so any more.
                node.Planner.ForgetSeen();
            }

            using RecoveryTask task = await Task.Run(() => node.Planner.Plan(order, looks: true), CancellationToken.None).ConfigureAwait(false);
            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                if (verdict == OrderVerdict.Promise)
                {
                    node.File.Write(node.File.State.Promising(order));
                    core.Log.Promised($"{order}");
                }

                return task.Foretell();
            }

            node.Queue.Fail(Problems.IsBusy("A recovery has begun."));
            core.SetState(V1.NodeState.Recovering);
            node.Planner.ForgetSeen();
            return await Task.Run(() => RecoverAsync(task, giveUp.Token), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            core.SetState(V1.NodeState.Ready);
            _ = core.Turn.Release();
            node.Queue.Wake();
        }
    }

    private V1.RecoverResponse Foretell(V1.RecoverRequest request)
    {
        if (node.Planner.Judge(request, out RecoveryOrder order) == OrderVerdict.Done)
        {
            return Repeated();
        }

        using RecoveryTask task = node.Planner.Plan(order, looks: false);
        return task.Foretell();
    }

    // The answer of the same call before.
    private V1.RecoverResponse Repeated() => V1.RecoverResponse.Parser.ParseFrom(node.File.State.Last!.Response);

    // A checkpoint that is being taken is given up where that is still possible.
    private async Task TakeTurnAsync(CancellationToken cancellationToken)
    {
        Task turn = core.Turn.WaitAsync(cancellationToken);
        while (!turn.IsCompleted)
        {
            node.Queue.GiveUpCurrent();
            await turn.WaitAsync(CheckpointLoop.MaxSleep, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await turn.ConfigureAwait(false);
    }

    private async Task<V1.RecoverResponse> RecoverAsync(RecoveryTask task, CancellationToken cancellationToken)
    {
        core.Log.Recovering(
            task.Order.Line, task.Order.Incarnation,
            task.Member is { } m ? $"its domains go back to checkpoint {m.Closing.Index}" : "its domains go on");
        using var carrier = new RecoveryCarrier(core, node, task);
        await carrier.CarryOutAsync(cancellationToken).ConfigureAwait(false);
        core.Log.Recovered(task.Order.Line, task.Order.Incarnation, node.Channels.Messages.Index);
        core.Events.Add(new V1.Event { DurableSn = (ulong)node.Channels.Messages.DurableIndex });
        core.Events.Add(new V1.Event { Recovered = carrier.Response });
        return carrier.Response!;
    }
}
