using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>A message of a run.</summary>
internal sealed class Message
{
    internal required long Id { get; init; }

    internal required int From { get; init; }

    internal required int To { get; init; }

    internal required long Index { get; init; }

    /// <summary>The ordinal of the sender's last checkpoint.</summary>
    internal required long SentAfter { get; init; }

    internal required int SentAt { get; init; }

    internal bool Delivered { get; set; }

    /// <summary>The ordinal of the receiver's last checkpoint.</summary>
    internal long DeliveredAfter { get; set; }

    internal int DeliveredAt { get; set; }

    internal long ReceiverIndex { get; set; }

    internal bool Logged { get; set; }

    internal bool SendUndone { get; set; }
}

/// <summary>What a run leaves, whatever its protocol.</summary>
internal sealed record Outcome(
    TraceHeader Header,
    List<TraceEvent> Events,
    List<Message> Messages,
    List<StoredCheckpoint>[] Checkpoints,
    long[] Indices,
    int Basic,
    int Forced,
    int Recoveries)
{
    internal IntervalDependency[] Dependencies =>
    [
        .. Messages.Where(message => message.Delivered).Select(message =>
            new IntervalDependency(message.From, message.SentAfter, message.To, message.DeliveredAfter)),
    ];

    internal CheckReport Check(CheckOptions? options = null)
    {
        TraceChecker checker = new(Header, options);
        foreach (TraceEvent item in Events)
        {
            checker.Add(item);
        }

        return checker.Complete();
    }
}

/// <summary>Runs a protocol on a schedule and keeps the contract of <see cref="IProtocol{TSelf, TPiggyback}"/>: nodes that
/// tick, send and deliver in any order, checkpoints that fail or take their time, failures with recovery.</summary>
internal sealed class Host<TProtocol, TPiggyback>
    where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
{
    private readonly int _count;
    private readonly bool _failures;
    private readonly ProtocolNode<TProtocol, TPiggyback>[] _nodes;
    private readonly List<StoredCheckpoint>[] _checkpoints;
    private readonly List<TProtocol>[] _saved;
    private readonly List<(Message Message, TPiggyback Piggyback, int Incarnation)> _flight = [];
    private readonly Dictionary<long, TPiggyback> _piggybacks = [];
    private readonly List<Message> _messages = [];
    private readonly List<TraceEvent> _events = [];
    private readonly bool[] _failNext;
    private readonly bool[] _slowNext;
    private readonly TraceEventKind[] _pendingKind;
    private int _incarnation;
    private int _basic;
    private int _forced;

    private Host(int count, bool failures)
    {
        _count = count;
        _failures = failures;
        _nodes = new ProtocolNode<TProtocol, TPiggyback>[count];
        _checkpoints = new List<StoredCheckpoint>[count];
        _saved = new List<TProtocol>[count];
        _failNext = new bool[count];
        _slowNext = new bool[count];
        _pendingKind = new TraceEventKind[count];
        for (int i = 0; i < count; i++)
        {
            _nodes[i] = new ProtocolNode<TProtocol, TPiggyback>(i, count);
            _checkpoints[i] = [new StoredCheckpoint(0)];
            _saved[i] = [TProtocol.Create(i, count)];
        }
    }

    /// <summary>Runs a schedule.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <param name="failures">True where nodes fail and recover.</param>
    internal static Outcome Run(Schedule schedule, bool failures = false)
    {
        Host<TProtocol, TPiggyback> host = new(schedule.Nodes, failures);
        foreach (int step in schedule.Steps)
        {
            host.Step(step);
        }

        return new Outcome(
            TraceHeader.For(TProtocol.Traits, schedule.Nodes, failures, channelLogs: true),
            host._events,
            host._messages,
            host._checkpoints,
            Array.ConvertAll(host._nodes, node => node.Protocol.Index),
            host._basic,
            host._forced,
            host._incarnation);
    }

    private void Step(int choice)
    {
        int node = choice % _count;
        int what = choice / _count % 16;
        int rest = choice / _count / 16;
        switch (what)
        {
            case 0 or 1:
                if (_nodes[node].Protocol.OnTick())
                {
                    Begin(node, TraceEventKind.Basic);
                }

                break;
            case >= 2 and <= 6:
                Send(node, (node + 1 + (rest % (_count - 1))) % _count);
                break;
            case >= 7 and <= 12:
                if (_flight.Count > 0)
                {
                    Deliver(rest % _flight.Count);
                }

                break;
            case 13:
                _failNext[node] = true;
                break;
            case 14:
                _slowNext[node] = true;
                break;
            default:
                if (_nodes[node].Protocol.PendingLabel != 0)
                {
                    Finish(node);
                }
                else if (_failures && rest % 3 == 0)
                {
                    Fail(node, rest / 3);
                }

                break;
        }
    }

    private void Begin(int node, TraceEventKind kind)
    {
        Assert.True(_nodes[node].Protocol.PendingLabel > 0);
        _pendingKind[node] = kind;
        if (_slowNext[node])
        {
            _slowNext[node] = false;
            return;
        }

        Finish(node);
    }

    private void Finish(int node)
    {
        ref TProtocol protocol = ref _nodes[node].Protocol;
        long label = protocol.PendingLabel;
        long before = protocol.Index;
        if (_failNext[node])
        {
            _failNext[node] = false;
            protocol.OnCheckpointFailed();
            Assert.Equal(before, protocol.Index);
            Assert.Equal(0, protocol.PendingLabel);
            _events.Add(TraceEvent.CheckpointFailed(node));
            return;
        }

        TProtocol saved = protocol.Save();
        bool announce = protocol.OnCheckpointDone();
        Assert.Equal(label, protocol.Index);
        Assert.Equal(label, saved.Index);
        Assert.Equal(0, saved.PendingLabel);
        Assert.Equal(0, protocol.PendingLabel);
        _saved[node].Add(saved);
        _checkpoints[node].Add(new StoredCheckpoint(label));
        _events.Add(TraceEvent.Checkpoint(_pendingKind[node], node, label));
        _basic += _pendingKind[node] == TraceEventKind.Basic ? 1 : 0;
        _forced += _pendingKind[node] == TraceEventKind.Forced ? 1 : 0;
        for (int to = 0; announce && to < _count; to++)
        {
            if (to != node)
            {
                Send(node, to);
            }
        }
    }

    private void Send(int node, int to)
    {
        bool after = _nodes[node].Protocol.OnSend(to, out TPiggyback piggyback);
        NoteIndex(node);
        Message message = new()
        {
            Id = _messages.Count,
            From = node,
            To = to,
            Index = _nodes[node].Protocol.Index,
            SentAfter = _checkpoints[node].Count - 1,
            SentAt = _events.Count,
        };
        _messages.Add(message);
        _piggybacks.Add(message.Id, piggyback);
        _flight.Add((message, piggyback, _incarnation));
        _events.Add(TraceEvent.Send(node, to, message.Id, message.Index));
        if (after)
        {
            Begin(node, TraceEventKind.Other);
        }
    }

    private void Deliver(int place)
    {
        (Message message, TPiggyback piggyback, int incarnation) = _flight[place];
        ReceiveDecision decision = Ask(message, piggyback, incarnation);
        if (decision is ReceiveDecision.Deliver or ReceiveDecision.Reject)
        {
            _flight.RemoveAt(place);
        }
    }

    private ReceiveDecision Ask(Message message, TPiggyback piggyback, int incarnation)
    {
        int node = message.To;
        for (bool again = false; ; again = true)
        {
            bool pending = _nodes[node].Protocol.PendingLabel != 0;
            int had = _checkpoints[node].Count;
            ReceiveDecision decision = _nodes[node].OnReceive(message.From, incarnation, piggyback);
            switch (decision)
            {
                case ReceiveDecision.Reject:
                    Assert.True(incarnation < _incarnation);
                    return decision;
                case ReceiveDecision.Wait:
                    Assert.True(pending);
                    return decision;
                case ReceiveDecision.CheckpointFirst:
                    Assert.False(pending);
                    Assert.False(again, "one checkpoint is enough for a message");
                    Begin(node, TraceEventKind.Forced);
                    if (_checkpoints[node].Count == had)
                    {
                        return decision;
                    }

                    break;
                default:
                    Assert.False(message.SendUndone);
                    NoteIndex(node);
                    message.Delivered = true;
                    message.DeliveredAfter = _checkpoints[node].Count - 1;
                    message.DeliveredAt = _events.Count;
                    message.ReceiverIndex = _nodes[node].Protocol.Index;
                    message.Logged = CrossingMessages.MustLog(TProtocol.Traits.Line, message.Index, message.ReceiverIndex);
                    _events.Add(TraceEvent.Receive(node, message.Id, message.ReceiverIndex, message.Logged));
                    return decision;
            }
        }
    }

    private void NoteIndex(int node)
    {
        if (TProtocol.Traits.Line == LineRule.LastBeforeReaching)
        {
            _checkpoints[node][^1] = _checkpoints[node][^1] with { Reach = _nodes[node].Protocol.Index };
        }
    }

    private void Fail(int first, int rest)
    {
        for (int i = 0; i < _count; i++)
        {
            if (_nodes[i].Protocol.PendingLabel != 0)
            {
                _failNext[i] = true;
                Finish(i);
            }
        }

        bool[] failed = new bool[_count];
        for (int i = 0; i < _count; i++)
        {
            failed[i] = i == first || (rest >> i) % 4 == 0;
            if (failed[i])
            {
                // The last checkpoint may not have become durable, and how far its index rose is forgotten.
                int durable = Math.Max(1, _checkpoints[i].Count - (rest % 2));
                _checkpoints[i].RemoveRange(durable, _checkpoints[i].Count - durable);
                _saved[i].RemoveRange(durable, _saved[i].Count - durable);
                _checkpoints[i][^1] = new StoredCheckpoint(_checkpoints[i][^1].Label);
                _events.Add(TraceEvent.Failure(i));
            }
        }

        NodeStatus[] states = new NodeStatus[_count];
        for (int i = 0; i < _count; i++)
        {
            states[i] = new() { Failed = failed[i], Index = _nodes[i].Protocol.Index, Checkpoints = _checkpoints[i] };
        }

        bool byIndex = TProtocol.Traits.Line != LineRule.Propagation;
        RecoveryPlan plan = byIndex
            ? RecoveryPlan.ByIndex(states, _incarnation)
            : RecoveryPlan.ByPropagation(
                states,
                _messages.Where(message => message.Delivered).Select(message =>
                    new IntervalDependency(message.From, message.SentAfter, message.To, message.DeliveredAfter)),
                _incarnation);
        Recover(plan, byIndex);
    }

    private void Recover(RecoveryPlan plan, bool byIndex)
    {
        _incarnation = plan.Incarnation;
        for (int i = 0; i < _count; i++)
        {
            int member = plan.Members[i];
            if (plan.Steps[i] != RecoveryStep.RollBack)
            {
                continue;
            }

            _nodes[i].OnRollback(_saved[i][member], plan.Line, plan.Incarnation);
            Assert.True(_nodes[i].Protocol.Index >= plan.Line);
            _saved[i].RemoveRange(member + 1, _saved[i].Count - member - 1);
            _checkpoints[i].RemoveRange(member + 1, _checkpoints[i].Count - member - 1);
            NoteIndex(i);
            _events.Add(TraceEvent.Rollback(i, member, _nodes[i].Protocol.Index));
        }

        for (int i = 0; i < _count; i++)
        {
            if (plan.Steps[i] == RecoveryStep.RollBack)
            {
                continue;
            }

            long before = _nodes[i].Protocol.Index;
            if (_nodes[i].OnSurvive(plan.Line, plan.Incarnation))
            {
                _failNext[i] = false;
                _pendingKind[i] = TraceEventKind.Other;
                Finish(i);
            }
            else if (_nodes[i].Protocol.Index != before)
            {
                NoteIndex(i);
                _events.Add(TraceEvent.IndexRaised(i, _nodes[i].Protocol.Index));
            }

            Assert.True(!byIndex || _nodes[i].Protocol.Index >= plan.Line);
        }

        List<Message> replay = [];
        foreach (Message message in _messages)
        {
            bool undone = message.Delivered && RolledBack(message.To, message.DeliveredAfter);
            if (undone)
            {
                message.Delivered = false;
            }

            // A message sent in a past undone earlier is gone already.
            if (message.SendUndone)
            {
                continue;
            }

            message.SendUndone = RolledBack(message.From, message.SentAfter);
            Assert.False(message.SendUndone && message.Delivered, "an orphan after the recovery");
            if (undone)
            {
                bool needed = !message.SendUndone;
                if (byIndex)
                {
                    Assert.Equal(needed, message.Logged && CrossingMessages.MustReplay(
                        new LogEntry(message.Index, message.DeliveredAfter), plan.Line, plan.Members[message.To]));
                }

                if (needed)
                {
                    Assert.True(message.Logged);
                    replay.Add(message);
                }
            }
        }

        // The network still has the old copies; what stands is sent again.
        int copies = _flight.Count;
        for (int i = 0; i < copies; i++)
        {
            (Message message, TPiggyback piggyback, int incarnation) = _flight[i];
            if (!message.SendUndone && incarnation == _incarnation - 1)
            {
                _flight.Add((message, piggyback, _incarnation));
            }
        }

        foreach (Message message in replay.OrderBy(message => message.DeliveredAt))
        {
            Array.Fill(_failNext, false);
            Array.Fill(_slowNext, false);
            int checkpoints = _checkpoints[message.To].Count;
            Assert.Equal(ReceiveDecision.Deliver, Ask(message, _piggybacks[message.Id], _incarnation));
            Assert.True(!byIndex || _checkpoints[message.To].Count == checkpoints, "a replay forced a checkpoint");
        }

        bool RolledBack(int node, long after) => plan.Steps[node] == RecoveryStep.RollBack && after >= plan.Members[node];
    }
}
