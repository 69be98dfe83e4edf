namespace XenTwoLevelCkpt.Channels;

/// <content>Recoveries; docs/protocol.md has the proof.</content>
internal sealed partial class ChannelCore<TProtocol>
{
    /// <summary>Says whether frames may be stopped for a recovery now.</summary>
    /// <returns>False where they stand still already.</returns>
    /// <exception cref="InvalidOperationException">A checkpoint is being taken.</exception>
    internal bool MayQuiesce()
    {
        RequireAlive();
        return _pending is not null
            ? throw new InvalidOperationException("A checkpoint is being taken; end it before the recovery.")
            : _phase == MessengerPhase.Running;
    }

    /// <summary>From here on nothing is taken from a stream, and nothing is read from the uplink. What was read has been sealed: it was
    /// sent before the recovery, to whom it was read for then.</summary>
    internal void Quiesce() => _phase = MessengerPhase.Quiesced;

    /// <summary>The node's domains have been put back to a checkpoint, and do not run yet: begins the incarnation with the channels of
    /// that checkpoint. Nobody reads the uplink or collects the log meanwhile.</summary>
    /// <param name="saved">The channels at that checkpoint; null for the initial state.</param>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="lost">All nodes that are lost; null for no news.</param>
    /// <param name="adopts">True where the domains of a lost node come here: <see cref="Adopt"/> comes next.</param>
    /// <returns>Batches that are delivered again.</returns>
    /// <exception cref="IOException">The channel log cannot be read or written.</exception>
    internal long RollBack(ChannelState? saved, long line, int incarnation, IReadOnlyList<Departure>? lost, bool adopts)
    {
        RequireStopped(incarnation);
        _topology.Learn(lost);
        long ordinal = saved?.Ordinal ?? 0;
        IEnumerable<LoggedBatch> again = _log.Replay(line, ordinal);
        _uplink.Restore(saved?.Uplink ?? []);
        _gate.RollBack(saved is null ? Initial : TProtocol.From(saved.Protocol), line, incarnation);
        foreach (PeerLink link in _topology.Links)
        {
            link.Restore(saved?.Peers.FirstOrDefault(peer => peer.Name == link.Name));
            Forget(link, line);
        }

        _topology.Host(saved);
        HostedChanged();
        foreach (HostedNode hosted in _topology.Hosted)
        {
            // This process may not have had them yet, and the log has frames for them.
            _uplink.Join(hosted.Domains);
        }

        _history.Restore(saved);
        _history.UndoDurable();
        _trace.RolledBack(saved, _gate.Index);

        // Some of it may be for the domains that come here.
        long replayed = adopts ? 0 : Replay(again);
        _ = _log.RollBack(incarnation, ordinal, line);

        // The peers forget what this node says it has.
        _log.Commit();
        _raiseTo = 0;
        Restarted(adopts);
        return replayed;
    }

    /// <summary>The node goes on in a new incarnation, with a checkpoint first where its index is below the line. Nobody reads the uplink
    /// meanwhile.</summary>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="lost">All nodes that are lost; null for no news.</param>
    /// <param name="adopts">True where the domains of a lost node come here: nothing is carried before <see cref="Adopt"/>.</param>
    /// <returns>True where a checkpoint begins.</returns>
    /// <exception cref="InvalidOperationException">The node can only go back to a checkpoint.</exception>
    /// <exception cref="IOException">The channel log cannot be written.</exception>
    internal bool Survive(long line, int incarnation, IReadOnlyList<Departure>? lost, bool adopts)
    {
        RequireStopped(incarnation);
        if (_awaitsRecovery)
        {
            throw new InvalidOperationException(
                "This node has been running before and its state is gone; it can only go back to a checkpoint.");
        }

        _topology.Learn(lost);
        _cause = CheckpointCause.Recovery;
        long before = _gate.Index;
        bool begins = _gate.Survive(line, incarnation);
        _cause = CheckpointCause.Basic;
        if (_gate.Index != before)
        {
            _trace.Raised(_gate.Index);
        }

        foreach (PeerLink link in _topology.All)
        {
            link.Survive();
            Forget(link, line);
        }

        _ = _log.Begin(incarnation);
        _log.Commit();
        _raiseTo = line;
        Restarted(adopts);
        Resume();
        return begins;
    }

    /// <summary>Carries frames after <see cref="RollBack"/> or <see cref="Adopt"/>. Does nothing before <see cref="Start"/>, and where
    /// frames are carried.</summary>
    internal void Resume()
    {
        RequireAlive();
        if (_started && _phase == MessengerPhase.Waiting && !_awaitsAdoption)
        {
            _phase = MessengerPhase.Running;
        }
    }

    private void RequireAlive() => ObjectDisposedException.ThrowIf(_phase == MessengerPhase.Disposed, this);

    private void RequireStopped(int incarnation)
    {
        RequireAlive();
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
        _effects.ForgetAddresses(link.Number);
    }

    private long Replay(IEnumerable<LoggedBatch> entries)
    {
        long replayed = 0;
        foreach (LoggedBatch entry in entries)
        {
            HostedNode? end = entry.To is null ? null : _topology.HostedOf(entry.To);
            PeerLink? link = entry.To is not null && end is null ? null : _topology.LinkOf(end, _topology.NumberOf(entry.From));
            if (Deliver(link, entry.From, entry.Sequence, entry.Origin, entry.Frames.Span))
            {
                _trace.Delivered(
                    link!.Number, end?.Number ?? _topology.Number, entry.Origin, entry.Sequence, _gate.Index, logged: true);
                replayed++;
            }
        }

        return replayed;
    }

    // The next batch of a channel goes to the guests at once.
    private bool Deliver(PeerLink? link, string from, long sequence, int origin, ReadOnlySpan<byte> frames)
    {
        if (link is null || sequence > link.In.Expected)
        {
            _events.NotReplayed(from, link is null
                ? "there is no such node any more"
                : $"batch {link.In.Expected} comes next, and it goes on with {sequence}");
            return false;
        }

        if (!link.In.Accept(sequence))
        {
            return false;
        }

        Hand(link, frames, origin);
        link.In.Settle(sequence);
        return true;
    }

    private void Restarted(bool adopts)
    {
        _awaitsRecovery = false;
        _awaitsAdoption = adopts;
        DropNote();
        _phase = MessengerPhase.Waiting;
        GateMoved();
    }

    private void HostedChanged()
    {
        if (_started)
        {
            _effects.HostedChanged();
        }
    }
}
