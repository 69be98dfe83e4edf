using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Simulation.Timed;

/// <content>Failures and recovery.</content>
internal sealed partial class TimedCluster<TProtocol, TPiggyback>
{
    private int _incarnation;

    private void ScheduleFailure(int node)
    {
        if (_settings.Failures is { } failures)
        {
            long time = _now + failures.Next(ref _failureStreams[node]);
            _queue.Push(time, Fail | (uint)node);
        }
    }

    private void OnFailure(int node, uint recorded)
    {
        // A node that is down already cannot fail again; its next failure counts from its restart.
        (int first, int count) = ProcessesOf(node);
        if (_all[first].Failed)
        {
            if (recorded == 0)
            {
                ScheduleFailure(node);
            }

            return;
        }

        _result.Failures++;
        for (int i = first; i < first + count; i++)
        {
            Process process = _all[i];
            Account(process);
            BreakOff(i);
            process.State = State.Down;
            process.Failed = true;
            process.Generation++;
            _trace?.Invoke(TraceEvent.Failure(i));
        }

        _queue.Push(_now + _settings.Detection.Next(ref _failureStreams[node]), Detect);
        if (recorded == 0)
        {
            ScheduleFailure(node);
        }
    }

    private (int First, int Count) ProcessesOf(int node) =>
        _settings.Lane.Flat ? (_nodes.FirstOf(node), _nodes.CountOf(node)) : (node, 1);

    // Gives the checkpoint up that is being taken.
    private void BreakOff(int number)
    {
        Process process = _all[number];
        if (process.Pending is { } pending)
        {
            CancelWrite(pending);
            process.Pending = null;
            process.Generation++;
            process.Node.Protocol.OnCheckpointFailed();
            _result.Broken++;
            _trace?.Invoke(TraceEvent.CheckpointFailed(number));
        }
    }

    private void CancelWrite(Checkpoint checkpoint)
    {
        if (checkpoint.Write >= 0 && !checkpoint.Durable && _writes.Remove(checkpoint.Write))
        {
            _storage.Cancel(_now, checkpoint.Write);
            ScheduleWritten();
        }
    }

    private void Recover()
    {
        if (!_all.Any(process => process.Failed))
        {
            // An earlier detection found this failure too.
            return;
        }

        _result.Recoveries++;
        for (int i = 0; i < _all.Length; i++)
        {
            if (!_all[i].Failed)
            {
                Account(_all[i]);
                BreakOff(i);
            }
        }

        RecoveryPlan plan = Plan();
        _incarnation = plan.Incarnation;

        // Of each process the ordinal of the first interval that is undone.
        long[] undone = [.. _all.Select((process, i) => plan.Steps[i] == RecoveryStep.RollBack
            ? process.Removed + plan.Members[i]
            : long.MaxValue)];
        DropUndone(undone);
        long[] replays = new long[_all.Length];
        for (int i = 0; i < _all.Length; i++)
        {
            if (plan.Steps[i] == RecoveryStep.RollBack)
            {
                RollBack(i, plan, undone, replays);
            }
        }

        for (int i = 0; i < _all.Length; i++)
        {
            Process process = _all[i];
            if (plan.Steps[i] == RecoveryStep.RollBack)
            {
                process.Failed = false;
                process.State = State.Down;
                process.Generation++;
                long restart = _settings.Restart.Next(ref process.Costs) + (long)(replays[i] * _settings.ReplayCost * 1e9);
                _queue.Push(_now + restart, Restarted | ((ulong)process.Generation << 28) | (uint)i);
            }
            else if (Survives(i, plan))
            {
                if (process.State == State.Suspended)
                {
                    Unpark(process);
                }

                // One that is still being restarted does this first thing, and its restart ends with it.
                Begin(i, TraceEventKind.Other);
            }
            else if (process.State == State.Suspended)
            {
                Unpark(process);
            }
        }
    }

    // True where a checkpoint begins.
    private bool Survives(int number, RecoveryPlan plan)
    {
        Process process = _all[number];
        long before = process.Node.Protocol.Index;
        bool begins = process.Node.OnSurvive(plan.Line, plan.Incarnation);
        if (process.Node.Protocol.Index != before)
        {
            Reached(process);
            _trace?.Invoke(TraceEvent.IndexRaised(number, process.Node.Protocol.Index));
        }

        return begins;
    }

    private RecoveryPlan Plan()
    {
        bool propagate = TProtocol.Traits.Line == LineRule.Propagation;
        NodeStatus[] nodes = [.. _all.Select(process =>
        {
            StoredCheckpoint[] stored = [.. process.Checkpoints
                .Where(checkpoint => !process.Failed || checkpoint.Durable)
                .Select(checkpoint => new StoredCheckpoint(checkpoint.Label, checkpoint.Reach))];
            if (process.Failed)
            {
                // How far the index rose after the last durable checkpoint is lost with the node.
                stored[^1] = new StoredCheckpoint(stored[^1].Label);
            }

            return new NodeStatus { Failed = process.Failed, Index = process.Node.Protocol.Index, Checkpoints = stored };
        })];
        return propagate
            ? RecoveryPlan.ByPropagation(nodes, _dependencies, _incarnation)
            : RecoveryPlan.ByIndex(nodes, _incarnation);
    }

    // Messages in flight: those whose send is undone are dropped, the others are sent again under the new incarnation.
    private void DropUndone(long[] undone)
    {
        foreach (Message message in _messages)
        {
            if (ReferenceEquals(message, Message.None) || message.Dropped)
            {
                continue;
            }

            bool stands = message.From == message.To
                ? undone[message.From] == long.MaxValue
                : message.SentAfter < undone[message.From];
            message.Dropped = !stands;
            message.Incarnation = _incarnation;
        }

        if (TProtocol.Traits.Line == LineRule.Propagation)
        {
            _ = _dependencies.RemoveAll(item =>
                item.SentAfter >= undone[item.From] || item.DeliveredAfter >= undone[item.To]);
        }
    }

    private void RollBack(int number, RecoveryPlan plan, long[] undone, long[] replays)
    {
        Process process = _all[number];
        int member = plan.Members[number];
        if (process.Failed)
        {
            // The plan counts durable checkpoints only; they are written in order, so these are the first ones.
            undone[number] = process.Removed + member;
        }

        Checkpoint checkpoint = process.Checkpoints[member];
        int dropped = process.Checkpoints.Count - 1 - member;
        foreach (Checkpoint later in process.Checkpoints.Skip(member + 1))
        {
            CancelWrite(later);
        }

        process.Checkpoints.RemoveRange(member + 1, dropped);
        checkpoint.Reach = Math.Max(checkpoint.Label, plan.Line);
        _result.Rollbacks++;
        _result.CheckpointsUndone += dropped;
        _result.FarthestRollback = Math.Max(_result.FarthestRollback, dropped);
        if (dropped > 0 && process.Removed + member == 0)
        {
            _result.Domino++;
        }

        process.Lost += process.Work - checkpoint.Work;
        process.Work = checkpoint.Work;
        process.Node.OnRollback(in checkpoint.State, plan.Line, plan.Incarnation);
        _trace?.Invoke(TraceEvent.Rollback(number, process.Removed + member, process.Node.Protocol.Index));

        var kept = new List<(Message Message, long After)>();
        foreach ((Message message, long after) in process.Log)
        {
            if (after < undone[number])
            {
                kept.Add((message, after));
            }
            else if (message.SentAfter < undone[message.From])
            {
                // Delivered in what is undone, sent in what stands: it crosses the line.
                replays[number]++;
                _result.Replayed++;
                var again = new Message
                {
                    From = message.From,
                    To = message.To,
                    FromVm = message.FromVm,
                    ToVm = message.ToVm,
                    Control = message.Control,
                    Replay = true,
                    Piggyback = message.Piggyback,
                    Index = message.Index,
                    SentAfter = message.SentAfter,
                    Number = message.Number,
                    Incarnation = plan.Incarnation,
                };
                process.Parked.Add(Arrive | (uint)Keep(again));
            }
        }

        process.Log = kept;
    }

    private void OnRestarted(int number) => Unpark(_all[number]);

    // What no recovery can need any more.
    private void CollectGarbage()
    {
        if (TProtocol.Traits.Line == LineRule.Propagation)
        {
            return;
        }

        long safe = Garbage.SafeLine(_all.Select(process => process.Checkpoints.Last(checkpoint => checkpoint.Durable).Label));
        foreach (Process process in _all)
        {
            StoredCheckpoint[] stored = [.. process.Checkpoints
                .Where(checkpoint => checkpoint.Durable)
                .Select(checkpoint => new StoredCheckpoint(checkpoint.Label, checkpoint.Reach))];
            int count = Garbage.Checkpoints(stored, safe);
            process.Checkpoints.RemoveRange(0, count);
            process.Removed += count;
            long oldest = process.Removed;
            _ = process.Log.RemoveAll(entry => entry.After < oldest);
        }
    }
}
