using XenTwoLevelCkpt.Protocol;

namespace XenTwoLevelCkpt.Channels;

/// <content>Recoveries; docs/protocol.md has the proof.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    public override void Quiesce()
    {
        CancellationTokenSource? life = null;
        lock (_pump)
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_phase == MessengerPhase.Disposed, this);
                if (_pending is not null)
                {
                    throw new InvalidOperationException("A checkpoint is being taken; end it before the recovery.");
                }

                if (_phase == MessengerPhase.Running)
                {
                    // From here on nothing is taken from a stream, and nothing is read from the uplink.
                    _phase = MessengerPhase.Quiesced;
                    life = _life;
                    _life = new CancellationTokenSource();
                }
            }
        }

        life?.Cancel();
    }

    public override long RollBack(ReadOnlyMemory<byte> state, long line, int incarnation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        ChannelState? saved = state.IsEmpty ? null : ChannelState.Decode(state);
        if (saved is not null && saved.Protocol.Index < line && TProtocol.Traits.Line == LineRule.FirstAtLeast)
        {
            throw new ArgumentException(
                $"The checkpoint has the index {saved.Protocol.Index}, and cannot be of line {line}.", nameof(state));
        }

        long replayed;
        lock (_collecting)
        {
            lock (_pump)
            {
                lock (_lock)
                {
                    replayed = RollBack(saved, line, incarnation);
                }
            }
        }

        WakePump();
        return replayed;
    }

    public override bool Survive(long line, int incarnation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        bool begins;
        lock (_pump)
        {
            lock (_lock)
            {
                RequireStopped(incarnation);
                if (_awaitsRecovery)
                {
                    throw new InvalidOperationException(
                        "This node has been running before and its state is gone; it can only go back to a checkpoint.");
                }

                _cause = CheckpointCause.Recovery;
                long before = _gate.Index;
                begins = _gate.Survive(line, incarnation);
                _cause = CheckpointCause.Basic;
                if (_gate.Index != before)
                {
                    _trace.Raised(_gate.Index);
                }

                foreach (PeerLink link in _links)
                {
                    link.Survive();
                    Forget(link, line);
                }

                _ = _log.Begin(incarnation);
                _log.Commit();
                _raiseTo = line;
                Restarted();
                RunIfStarted();
            }
        }

        Begin();
        WakePump();
        return begins;
    }

    public override void Resume()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_phase == MessengerPhase.Disposed, this);
                RunIfStarted();
            }
        }

        WakePump();
    }

    public override long Adopt(string node, ReadOnlyMemory<byte> state, string log, long line)
    {
        PeerLink lost = Array.Find(_links, link => link.Name == node)
            ?? throw new ArgumentException($"There is no other node '{node}'.", nameof(node));
        ChannelState? saved = state.IsEmpty ? null : ChannelState.Decode(state);
        long ordinal = saved?.Ordinal ?? 0, index = saved?.Protocol.Index ?? 0;
        var again = new List<(int From, int Origin, long Sequence)>();
        Dictionary<string, ReceiveWindow> had =
            (saved?.Peers ?? []).ToDictionary(peer => peer.Name, peer => new ReceiveWindow(peer.Delivered));
        long own = 0;
        lock (_pump)
        {
            lock (_lock)
            {
                foreach (LoggedBatch entry in ChannelLog.ReplayLost(log, line, ordinal))
                {
                    Again(entry.From, entry.Sequence, entry.Origin, entry.Frames.Span);
                }

                // What this node had sent there, and it had not acknowledged.
                foreach (SentBatch batch in lost.Out.Kept)
                {
                    Again(_options.Node, batch.Sequence, batch.Origin, batch.Frames.Span);
                }

                lost.Out.Acknowledge(lost.Out.Last);
                _trace.Adopted(lost.Number, node, ordinal, index, again);

                // What it had sent here, and this node does not have.
                foreach (SentBatch batch in saved?.Peers.FirstOrDefault(peer => peer.Name == _options.Node)?.Kept ?? [])
                {
                    if (batch.Sequence == lost.In.Expected && lost.In.Accept(batch.Sequence))
                    {
                        _gate.Arrive(new ArrivedBatch(
                            lost.Number, _gate.Incarnation, batch.Index, batch.Sequence, batch.Frames, batch.Origin));
                        own++;
                    }
                }
            }
        }

        Begin();
        return again.Count + own;

        void Again(string sender, long sequence, int origin, ReadOnlySpan<byte> frames)
        {
            PeerLink? from = Array.Find(_links, link => link.Name == sender);
            int number = from?.Number ?? (sender == _options.Node ? _number : -1);
            if (!had.TryGetValue(sender, out ReceiveWindow? window))
            {
                had[sender] = window = new ReceiveWindow();
            }

            if (number < 0 || sequence > window.Expected)
            {
                _events.NotReplayed(sender, $"those that {node} had received are not in a row");
            }
            else if (window.Accept(sequence))
            {
                Hand(from, frames);
                window.Settle(sequence);
                again.Add((number, origin, sequence));
            }
        }
    }

    // Under all locks.
    private long RollBack(ChannelState? saved, long line, int incarnation)
    {
        RequireStopped(incarnation);
        long ordinal = saved?.Ordinal ?? 0;
        IEnumerable<LoggedBatch> again = _log.Replay(line, ordinal);
        _uplink.Restore(saved?.Uplink ?? []);
        _gate.RollBack(TProtocol.From(saved?.Protocol ?? default), line, incarnation);
        foreach (PeerLink link in _links)
        {
            link.Restore(saved?.Peers.FirstOrDefault(peer => peer.Name == link.Name));
            Forget(link, line);
        }

        _ordinal = ordinal;
        _taken.Clear();
        _taken.AddRange(saved?.Checkpoints ?? [new TakenCheckpoint(0, 0)]);
        _durable = Math.Min(_durable, _taken[^1].Label);
        _trace.RolledBack(saved, _gate.Index);
        long replayed = Replay(again);
        _ = _log.RollBack(incarnation, ordinal, line);

        // The peers forget what this node says it has.
        _log.Commit();
        _raiseTo = 0;
        Restarted();
        return replayed;
    }

    private void RequireStopped(int incarnation)
    {
        ObjectDisposedException.ThrowIf(_phase == MessengerPhase.Disposed, this);
        if (_phase == MessengerPhase.Running)
        {
            throw new InvalidOperationException("Frames are carried; a recovery stops them first.");
        }

        // One that the log has begun and this process has not carries no frames yet: a process before this one ended between
        // RollBack and Resume.
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(incarnation, _gate.Incarnation);
        ArgumentOutOfRangeException.ThrowIfLessThan(incarnation, _awaitsRecovery ? _log.Incarnation : 0);
    }

    // What a peer told of checkpoints behind the line may be undone; where its guests are, too.
    private void Forget(PeerLink link, long line)
    {
        link.DurableIndex = Math.Min(link.DurableIndex, line);
        link.FullSince = null;
        lock (_macs)
        {
            _macs.Forget(link.Number);
        }
    }

    private long Replay(IEnumerable<LoggedBatch> entries)
    {
        long replayed = 0;
        foreach (LoggedBatch entry in entries)
        {
            PeerLink? link = Array.Find(_links, l => l.Name == entry.From);
            if (link is null || entry.Sequence > link.In.Expected)
            {
                _events.NotReplayed(entry.From, link is null
                    ? "there is no such node any more"
                    : $"batch {link.In.Expected} comes next, and the log goes on with {entry.Sequence}");
                continue;
            }

            if (link.In.Accept(entry.Sequence))
            {
                Hand(link, entry.Frames.Span);
                link.In.Settle(entry.Sequence);
                _trace.Delivered(link.Number, entry.Origin, entry.Sequence, _gate.Index, logged: true);
                replayed++;
            }
        }

        return replayed;
    }

    // Under both locks.
    private void Restarted()
    {
        _awaitsRecovery = false;
        _holding = false;
        DropNote();
        _phase = MessengerPhase.Waiting;
        GateMoved();
    }

    // Under both locks.
    private void RunIfStarted()
    {
        if (_started && _phase == MessengerPhase.Waiting)
        {
            Run();
        }
    }
}
