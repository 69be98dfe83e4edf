using System.Diagnostics;

namespace XenTwoLevelCkpt.Channels;

/// <content>From the uplink into the send windows.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    // Behind one peer: some hundred guests with several interfaces each. More are made up, and cost at most 0.5 MiB a peer.
    private const int MacCapacity = 4096;

    // Of a Linux bridge.
    private static readonly TimeSpan MacLifetime = TimeSpan.FromSeconds(300);

    // Frames that are read in one go; whoever waits for the pump's lock waits for no more.
    private const int Burst = 256;
    private static readonly TimeSpan IdleWait = TimeSpan.FromSeconds(1);

    private readonly Thread _pumpThread;
    private readonly AutoResetEvent _room = new(initialState: false);
    private readonly MacTable _macs = new(MacCapacity, MacLifetime);
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private PeerLink _likely;
    private volatile bool _stopping;
    private volatile bool _blocked;

    private enum PumpTurn
    {
        /// <summary>There may be more frames.</summary>
        More,

        /// <summary>There are none.</summary>
        Idle,

        /// <summary>There is no room for a frame.</summary>
        Blocked,
    }

    private void Pump()
    {
        try
        {
            while (!_stopping)
            {
                PumpTurn turn;
                lock (_pump)
                {
                    turn = _phase == MessengerPhase.Running ? Fill() : PumpTurn.Blocked;
                }

                Begin();
                if (turn == PumpTurn.Idle)
                {
                    _ = _uplink.Wait(IdleWait);
                }
                else if (turn == PumpTurn.Blocked)
                {
                    _ = _room.WaitOne(IdleWait);
                }
            }
        }
        catch (IOException e)
        {
            UplinkFailed(e);
        }
    }

    // What waits for room is looked at again; the pump may be in either wait.
    private void WakePump()
    {
        _ = _room.Set();
        _uplink.Wake();
    }

    private PumpTurn Fill()
    {
        for (int i = 0; i < Burst; i++)
        {
            if (!HasRoomEverywhere(beyond: false))
            {
                return PumpTurn.Blocked;
            }

            if (!TakeFrame())
            {
                SealAll(beyond: false);
                return PumpTurn.Idle;
            }
        }

        return PumpTurn.More;
    }

    // With all domains suspended: whatever they sent leaves now, whether there is room or not. It is bounded by the uplink's
    // own queue.
    private void Drain()
    {
        while (HasRoomEverywhere(beyond: true) && TakeFrame())
        {
        }

        SealAll(beyond: true);
    }

    // A frame may go to all peers, so each has to have a place for the next one: in its open batch, or behind what waits for room.
    private bool HasRoomEverywhere(bool beyond)
    {
        bool room = true;
        foreach (PeerLink link in _routes)
        {
            room &= HasPlace(link, beyond) || link.MayWait || (_uplink.MayLose && IsStuck(link));
        }

        return room;
    }

    // A link that is only slow holds the guests back, who take that for a slow network.
    private bool IsStuck(PeerLink link)
    {
        lock (_lock)
        {
            return link.FullSince is { } since && Stopwatch.GetElapsedTime(since) > _options.Patience;
        }
    }

    // What waited goes first.
    private bool HasPlace(PeerLink link, bool beyond)
    {
        while (!link.HasPlace)
        {
            if (link.IsOpenFull && !TrySeal(link, beyond))
            {
                return false;
            }

            link.TakeWaiting();
        }

        return true;
    }

    // A frame is read to where it mostly belongs: into the batch for the peer of the frame before it. One for a link without room
    // waits for it, and holds up no other. False where there is none.
    private bool TakeFrame()
    {
        PeerLink guess = _likely.HasPlace ? _likely : _spare;
        Span<byte> place = guess.NextFrame;
        int length = _uplink.Read(place);
        if (length < FrameBatch.MinFrame + _uplink.HeaderSize)
        {
            // No card sends a shorter one.
            return length > 0;
        }

        ReadOnlySpan<byte> frame = place[..length];
        int? peer;
        lock (_macs)
        {
            peer = _macs.Find(frame[_uplink.HeaderSize..], _clock.Elapsed);
        }

        if (peer is int number)
        {
            _likely = _byNumber[number]!;
            Append(_likely, guess, frame);
            return true;
        }

        foreach (PeerLink link in _routes)
        {
            if (link != guess)
            {
                Append(link, guess, frame);
            }
        }

        if (guess != _spare)
        {
            guess.Commit(length);
        }

        return true;
    }

    private static void Append(PeerLink link, PeerLink at, ReadOnlySpan<byte> frame)
    {
        if (!link.HasPlace)
        {
            link.Wait(frame);
            return;
        }

        if (link != at)
        {
            frame.CopyTo(link.NextFrame);
        }

        link.Commit(frame.Length);
    }

    private void SealAll(bool beyond)
    {
        foreach (PeerLink link in _routes)
        {
            if (HasPlace(link, beyond) && link.Used > 0)
            {
                _ = TrySeal(link, beyond);
            }
        }
    }

    // The open batch leaves, with the index of now.
    private bool TrySeal(PeerLink link, bool beyond)
    {
        lock (_lock)
        {
            bool room = beyond || (!_holding && link.Out.HasRoomFor(link.Used));
            link.FullSince = room || _holding ? null : link.FullSince ?? Stopwatch.GetTimestamp();
            if (!room)
            {
                _blocked = true;
                return false;
            }

            long index = _gate.Stamp(link.Number);
            SentBatch batch = link.Seal(index, _gate.Incarnation, beyond);
            _trace.Sent(link.Number, batch);
            link.Session?.Enqueue(batch);
            return true;
        }
    }
}
