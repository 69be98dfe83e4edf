namespace XenTwoLevelCkpt.Channels;

/// <content>What the channels ask for, the thread that reads the uplink, and the timer.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    /// <inheritdoc/>
    void IChannelEffects.Deliver(ReadOnlySpan<byte> frame, int? sender, Audience? audience)
    {
        if (sender is int peer)
        {
            _router.Learn(frame[_uplink.HeaderSize..], peer);
        }

        try
        {
            _uplink.Write(frame, audience);
        }
        catch (IOException e)
        {
            // The guests' port is gone, and with it whoever the frame is for.
            UplinkFailed(e);
        }
    }

    /// <inheritdoc/>
    void IChannelEffects.Begin(BegunCheckpoint checkpoint) => _toBegin = checkpoint;

    /// <inheritdoc/>
    void IChannelEffects.RoomMade()
    {
        if (_blocked)
        {
            _blocked = false;
            _frames.Wake();
        }
    }

    /// <inheritdoc/>
    void IChannelEffects.GateMoved() => _streams.GateMoved();

    /// <inheritdoc/>
    void IChannelEffects.ForgetAddresses(int number) => _router.Forget(number);

    /// <inheritdoc/>
    void IChannelEffects.HostedChanged() => _streams.ConnectHosted();

    /// <inheritdoc/>
    bool IBatchSeals.TrySeal(PeerLink link, bool beyond)
    {
        lock (_lock)
        {
            bool sealing = _core.TrySeal(link, beyond);
            _blocked |= !sealing;
            return sealing;
        }
    }

    /// <inheritdoc/>
    bool IBatchSeals.IsStuck(PeerLink link)
    {
        lock (_lock)
        {
            return _core.IsStuck(link);
        }
    }

    private FrameTurn Turn()
    {
        FrameTurn turn;
        lock (_pump)
        {
            turn = _core.Phase == MessengerPhase.Running ? _router.Fill() : FrameTurn.Blocked;
        }

        Begin();
        return turn;
    }

    // A checkpoint that was asked for under the lock.
    private void Begin()
    {
        BegunCheckpoint? begin;
        lock (_lock)
        {
            begin = _toBegin;
            _toBegin = null;
        }

        if (begin is var (label, cause, forcedBy))
        {
            _checkpoints.Begin(label, cause, forcedBy);
        }
    }

    private void UplinkFailed(IOException e)
    {
        if (Interlocked.Exchange(ref _uplinkProblem, e.Message) is null)
        {
            _events.UplinkFailed(e);
        }
    }

    private void LogChanged()
    {
        lock (_lock)
        {
            _core.LogChanged();
            if (_log.Failure is { } failure && !_logFailed)
            {
                _logFailed = true;
                _events.LogFailed(failure);
            }
        }
    }

    private void Beat()
    {
        lock (_lock)
        {
            _core.Beat();
        }

        try
        {
            CollectGarbage();
        }
        catch (IOException e)
        {
            _events.LogFailed(e);
        }
    }

    // What no recovery needs any more.
    private void CollectGarbage()
    {
        lock (_collecting)
        {
            long? member;
            lock (_lock)
            {
                member = _core.Forget();
            }

            if (member is long ordinal)
            {
                _log.Collect(ordinal);
            }
        }
    }
}
