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
                    // From here on nothing is taken from a stream, and nothing is read from the uplink. What was read was sent before
                    // the recovery, to whom it was read for then.
                    SealAll(beyond: true);
                    _phase = MessengerPhase.Quiesced;
                    life = _life;
                    _life = new CancellationTokenSource();
                }
            }
        }

        life?.Cancel();
    }

    public override long RollBack(
        ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
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
                    RequireStopped(incarnation);
                    Learn(lost);
                    replayed = RollBack(saved, line, incarnation, adopts);
                }
            }
        }

        WakePump();
        return replayed;
    }

    public override bool Survive(long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
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

                Learn(lost);
                _cause = CheckpointCause.Recovery;
                long before = _gate.Index;
                begins = _gate.Survive(line, incarnation);
                _cause = CheckpointCause.Basic;
                if (_gate.Index != before)
                {
                    _trace.Raised(_gate.Index);
                }

                foreach (PeerLink link in _all)
                {
                    link.Survive();
                    Forget(link, line);
                }

                _ = _log.Begin(incarnation);
                _log.Commit();
                _raiseTo = line;
                Restarted();
                _awaitsAdoption = adopts;
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

    // Under all locks.
    private long RollBack(ChannelState? saved, long line, int incarnation, bool adopts)
    {
        long ordinal = saved?.Ordinal ?? 0;
        IEnumerable<LoggedBatch> again = _log.Replay(line, ordinal);
        _uplink.Restore(saved?.Uplink ?? []);
        _gate.RollBack(TProtocol.From(saved?.Protocol ?? default), line, incarnation);
        foreach (PeerLink link in _links)
        {
            link.Restore(saved?.Peers.FirstOrDefault(peer => peer.Name == link.Name));
            Forget(link, line);
        }

        Host(saved);
        foreach (HostedNode hosted in _hosted)
        {
            // This process may not have had them yet, and the log has frames for them.
            _uplink.Join(hosted.Domains);
        }

        _ordinal = ordinal;
        _taken.Clear();
        _taken.AddRange(saved?.Checkpoints ?? [new TakenCheckpoint(0, 0)]);
        _durable = Math.Min(_durable, _taken[^1].Label);
        _trace.RolledBack(saved, _gate.Index);

        // Some of it may be for the domains that come here.
        long replayed = adopts ? 0 : Replay(again);
        _ = _log.RollBack(incarnation, ordinal, line);

        // The peers forget what this node says it has.
        _log.Commit();
        _raiseTo = 0;
        Restarted();
        _awaitsAdoption = adopts;
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
            HostedNode? end = entry.To is null ? null : _hosted.Find(hosted => hosted.Name == entry.To);
            PeerLink? link = entry.To is not null && end is null ? null : LinkOf(end, NumberOf(entry.From));
            if (Deliver(link, entry.From, entry.Sequence, entry.Origin, entry.Frames.Span))
            {
                _trace.Delivered(
                    link!.Number, end?.Number ?? _number, entry.Origin, entry.Sequence, _gate.Index, logged: true);
                replayed++;
            }
        }

        return replayed;
    }

    // Under both locks.
    private void Restarted()
    {
        _awaitsRecovery = false;
        _awaitsAdoption = false;
        _holding = false;
        DropNote();
        _phase = MessengerPhase.Waiting;
        GateMoved();
    }

    // Under both locks.
    private void RunIfStarted()
    {
        if (_started && _phase == MessengerPhase.Waiting && !_awaitsAdoption)
        {
            Run();
        }
    }
}
