namespace XenTwoLevelCkpt.Channels;

/// <summary>What a turn of <see cref="FrameRouter.Fill"/> came to.</summary>
internal enum FrameTurn
{
    /// <summary>There may be more frames.</summary>
    More,

    /// <summary>There are none.</summary>
    Idle,

    /// <summary>There is no room for a frame.</summary>
    Blocked,
}

/// <summary>Frames of local guests, from the uplink into the open batch of each peer that they are for. It does not wait.</summary>
/// <remarks>One thread at a time reads and seals: the one that reads the uplink. <see cref="Learn"/> and <see cref="Forget"/> are for any.
/// </remarks>
/// <param name="uplink">The local guests.</param>
/// <param name="topology">The channels.</param>
/// <param name="seals">Has an open batch leave.</param>
/// <param name="clock">The time that addresses age by.</param>
/// <param name="floodLimit">Frames a second that go to all nodes, for each guest's address; null for no limit.</param>
internal sealed class FrameRouter(
    IUplink uplink, Topology topology, IBatchSeals seals, TimeProvider clock, int? floodLimit = null)
{
    // Of one node, so that the others' tables have room for its guests' own addresses beside them: some hundred guests with bridges
    // of their own.
    private const int MostStrangers = 2048;

    // Behind one peer: some hundred guests with several interfaces each. More are made up, and cost at most 0.5 MiB a peer.
    private const int MacCapacity = 4096;

    // Of a Linux bridge.
    private static readonly TimeSpan MacLifetime = TimeSpan.FromSeconds(300);

    // Frames that are read in one go; whoever waits for the pump's lock waits for no more.
    private const int Burst = 256;

    private readonly MacTable _macs = new(MacCapacity, MacLifetime);
    private readonly FrameGuard _guard = new(floodLimit, MostStrangers, MacLifetime);
    private readonly long _begun = clock.GetTimestamp();

    // Where frames are read to that no peer lives for.
    private readonly OpenBatch _spare = new(waitingLimit: 0);

    // The peer of the frame before, and the routes that it is one of; null where there are none.
    private PeerLink? _likely;
    private PeerLink[] _routes = [];

    /// <summary>Frames that were lost between the bridge and the channels.</summary>
    internal FrameLosses Losses
    {
        get
        {
            lock (_macs)
            {
                return new FrameLosses(uplink.Dropped, _guard.Dropped.Flooding, _guard.Dropped.Strangers);
            }
        }
    }

    private TimeSpan Now => clock.GetElapsedTime(_begun);

    /// <summary>Reads frames, as long as there are some and there is room for them.</summary>
    internal FrameTurn Fill()
    {
        LookAtRoutes();
        for (int i = 0; i < Burst; i++)
        {
            if (!HasRoomEverywhere(beyond: false))
            {
                return FrameTurn.Blocked;
            }

            if (!TakeFrame())
            {
                SealAll(beyond: false);
                return FrameTurn.Idle;
            }
        }

        return FrameTurn.More;
    }

    /// <summary>With all domains suspended: whatever they sent leaves now, whether there is room or not. It is bounded by the uplink's
    /// own queue.</summary>
    internal void Drain()
    {
        LookAtRoutes();
        while (HasRoomEverywhere(beyond: true) && TakeFrame())
        {
        }

        SealAll(beyond: true);
    }

    /// <summary>All open batches leave.</summary>
    /// <param name="beyond">True where they do so whether there is room or not.</param>
    internal void SealAll(bool beyond)
    {
        foreach (PeerLink link in topology.Routes)
        {
            if (HasPlace(link, beyond) && link.Open.Used > 0)
            {
                _ = seals.TrySeal(link, beyond);
            }
        }
    }

    /// <summary>A frame came from a peer: its sender is behind it.</summary>
    internal void Learn(ReadOnlySpan<byte> frame, int peer)
    {
        lock (_macs)
        {
            _macs.Learn(frame, peer, Now);
        }
    }

    /// <summary>Forgets what is behind a peer.</summary>
    internal void Forget(int peer)
    {
        lock (_macs)
        {
            _macs.Forget(peer);
        }
    }

    /// <summary>The addresses that local guests were given.</summary>
    internal void Know(IEnumerable<ulong> addresses)
    {
        lock (_macs)
        {
            _guard.Know(addresses);
        }
    }

    private void LookAtRoutes()
    {
        if (_routes != topology.Routes)
        {
            _routes = topology.Routes;
            if (!_routes.Contains(_likely))
            {
                _likely = _routes.Length > 0 ? _routes[0] : null;
            }
        }
    }

    // A frame may go to all peers, so each has to have a place for the next one: in its open batch, or behind what waits for room.
    private bool HasRoomEverywhere(bool beyond)
    {
        bool room = true;
        foreach (PeerLink link in _routes)
        {
            room &= HasPlace(link, beyond) || link.Open.MayWait || (uplink.MayLose && seals.IsStuck(link));
        }

        return room;
    }

    // What waited goes first.
    private bool HasPlace(PeerLink link, bool beyond)
    {
        while (!link.Open.HasPlace)
        {
            if (link.Open.IsFull && !seals.TrySeal(link, beyond))
            {
                return false;
            }

            link.Open.TakeWaiting();
        }

        return true;
    }

    // A frame is read to where it mostly belongs: into the batch for the peer of the frame before it. One for a link without room
    // waits for it, and holds up no other. False where there is none.
    private bool TakeFrame()
    {
        OpenBatch guess = _likely is { Open.HasPlace: true } ? _likely.Open : _spare;
        Span<byte> place = guess.NextFrame;
        int length = uplink.Read(place);
        if (length < FrameBatch.MinFrame + uplink.HeaderSize)
        {
            // No card sends a shorter one.
            return length > 0;
        }

        ReadOnlySpan<byte> frame = place[..length];
        int? peer;
        lock (_macs)
        {
            TimeSpan now = Now;
            peer = _macs.Find(frame[uplink.HeaderSize..], now);
            if (uplink.MayLose && !_guard.Admits(MacTable.SourceOf(frame[uplink.HeaderSize..]), peer is null, now))
            {
                return true;
            }
        }

        if (peer is int number)
        {
            _likely = topology[number]!;
            Append(_likely.Open, guess, frame);
            return true;
        }

        foreach (PeerLink link in _routes)
        {
            if (link.Open != guess)
            {
                Append(link.Open, guess, frame);
            }
        }

        if (guess != _spare)
        {
            guess.Commit(length);
        }

        return true;
    }

    private static void Append(OpenBatch batch, OpenBatch at, ReadOnlySpan<byte> frame)
    {
        if (!batch.HasPlace)
        {
            batch.Wait(frame);
            return;
        }

        if (batch != at)
        {
            frame.CopyTo(batch.NextFrame);
        }

        batch.Commit(frame.Length);
    }
}

/// <summary>Has open batches leave.</summary>
internal interface IBatchSeals
{
    /// <summary>The open batch of a link leaves, with the index of now.</summary>
    /// <param name="link">The link.</param>
    /// <param name="beyond">True where it does so whether there is room or not.</param>
    /// <returns>False where there is no room.</returns>
    bool TrySeal(PeerLink link, bool beyond);

    /// <summary>True where frames have waited for room on a link for long.</summary>
    bool IsStuck(PeerLink link);
}
