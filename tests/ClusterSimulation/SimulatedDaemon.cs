using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon;
using XenTwoLevelCkpt.Daemon.Recovery;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A daemon's process: the channels' own core, the recovery's own state machine, and around them a simulated host in the place
/// of threads, streams, files and Xen. It is one thing after the other, as the daemon's turn is.</summary>
internal sealed partial class SimulatedDaemon : IChannelEffects, IBatchSeals
{
    internal static readonly Guid Cluster = new("5f0c7a5e-0000-4000-8000-000000000001");

    private readonly List<SimulatedSession> _sessions = [];
    private readonly HashSet<PeerLink> _dialling = [];
    private INodeTrace? _trace;
    private BegunCheckpoint? _begun;
    private bool _messagesStarted;
    private bool _turnTaken;
    private bool _giveUp;
    private bool _pumpAsked;
    private long _basicAt = long.MaxValue;
    private long _retryAt = long.MaxValue;

    internal SimulatedDaemon(SimulatedWorld world, SimulatedHost host)
    {
        World = world;
        Host = host;
    }

    internal SimulatedWorld World { get; }

    internal SimulatedHost Host { get; }

    internal ChannelCore<AnyProtocol> Core { get; private set; } = null!;

    internal FrameRouter Router { get; private set; } = null!;

    internal bool IsDead { get; private set; }

    /// <summary>True once it answers.</summary>
    internal bool Serves { get; private set; }

    internal bool IsReady => Serves && Host.Disk.Record.Pending is null && !Core.AwaitsRecovery
        && Core.Phase == MessengerPhase.Running;

    private SimulatedDisk Disk => Host.Disk;

    internal MessagesState MessagesNow => new(
        Core.Index, Core.Incarnation, Core.AwaitsRecovery, Core.AwaitsAdoption, _begun is not null);

    /// <summary>Starts, as after a restart of the process or the host.</summary>
    internal void Start() => Later(World.Random.Next(5_000), () =>
    {
        _turnTaken = true;
        Carry(RecoveryExecution.AfterRestart(Disk.Record), new Carrier(this, null), _ =>
        {
            _turnTaken = false;
            Serves = true;
            _basicAt = World.Now + World.NextBasic();
            Later(0, Loop);
            Later(World.Random.Next(100_000), Beat);
            Later(World.Random.Next(20_000), Dial);
        });
    });

    /// <summary>The process is no more. What it has not synced is the disk's to lose.</summary>
    internal void Die()
    {
        IsDead = true;
        foreach (SimulatedSession session in _sessions.ToArray())
        {
            session.Stream?.Close();
        }
    }

    /// <summary>What the next process may take up.</summary>
    internal void Park()
    {
        if (Core is null)
        {
            return;
        }

        if (Core is { Phase: MessengerPhase.Running, IsHolding: false })
        {
            Router.SealAll(beyond: true);
        }

        if (Core.End())
        {
            Core.LogChanged();
            Disk.Parked = Core.Park();
            Disk.Record = Disk.Record with
            {
                Parked = new ParkedLife(
                    $"{Host.Boots}", Disk.LastStored, Host.Domains.ToDictionary(d => d.Uuid, d => d.Life)),
            };
        }

        (_trace as IDisposable)?.Dispose();
    }

    /// <summary>Frames wait to be read.</summary>
    internal void PumpSoon()
    {
        if (!_pumpAsked && Core is not null)
        {
            _pumpAsked = true;
            Later(World.Random.Next(500), () =>
            {
                _pumpAsked = false;
                if (Core.Phase == MessengerPhase.Running && Router.Fill() == FrameTurn.More)
                {
                    PumpSoon();
                }
            });
        }
    }

    /// <inheritdoc/>
    void IChannelEffects.Deliver(ReadOnlySpan<byte> frame, int? sender, Audience? audience)
    {
        if (sender is int peer)
        {
            Router.Learn(frame, peer);
        }

        Host.Uplink.Write(frame, audience);
    }

    /// <inheritdoc/>
    void IChannelEffects.Begin(BegunCheckpoint checkpoint)
    {
        _begun = checkpoint;
        Later(World.Random.Next(2_000), Loop);
    }

    /// <inheritdoc/>
    void IChannelEffects.RoomMade() => PumpSoon();

    /// <inheritdoc/>
    void IChannelEffects.GateMoved()
    {
        foreach (SimulatedSession session in _sessions)
        {
            ReadSoon(session);
        }
    }

    /// <inheritdoc/>
    void IChannelEffects.ForgetAddresses(int number) => Router.Forget(number);

    /// <inheritdoc/>
    void IChannelEffects.HostedChanged()
    {
        // Streams are looked for all the time.
    }

    /// <inheritdoc/>
    bool IBatchSeals.TrySeal(PeerLink link, bool beyond) => Core.TrySeal(link, beyond);

    /// <inheritdoc/>
    bool IBatchSeals.IsStuck(PeerLink link) => Core.IsStuck(link);

    private void Later(long microseconds, Action what) => World.After(microseconds, () =>
    {
        if (!IsDead)
        {
            what();
        }
    });

    private void MakeMessages()
    {
        if (Core is not null)
        {
            _ = Core.End();
            EndIncarnation();
            (_trace as IDisposable)?.Dispose();
            Disk.Log.Commit();
        }

        NodeRecord record = Disk.Record;
        long index = Math.Max(record.Index, Line().Select(c => c.Index).DefaultIfEmpty().Max());
        var options = new NodeMessengerOptions
        {
            Cluster = Cluster,
            Node = Host.Name,
            Peers = [.. World.Hosts.Where(h => h != Host).Select(h => new PeerAddress(h.Name, h.Name, 1))],
            LogDirectory = Host.Name,
            Parked = Parked(),
            Lost = record.Departures,
            WindowBytes = 400,
            WaitingBytes = 1 << 20,
            HeldBytes = 400,
        };
        var topology = new Topology(options);
        _trace = new NodeTrace(Disk.OpenTrace, AnyProtocol.Traits, topology.Number, topology.Nodes, World.Log);
        Core = new ChannelCore<AnyProtocol>(
            options, new ChannelParts(topology, Host.Uplink, Disk.Log, _trace, this, World.Log, World.Clock));
        Router = new FrameRouter(Host.Uplink, topology, this, World.Clock);
        Core.DurableIndex = index;
        Core.OldestKept = 0;
        _messagesStarted = false;
        _begun = null;
    }

    private ReadOnlyMemory<byte>? Parked()
    {
        if (Disk.Record is not { Parked: { } parked, Pending: null } || parked.Life != $"{Host.Boots}"
            || parked.Epoch != Disk.LastStored
            || Host.Domains.Any(d => !parked.Domains.TryGetValue(d.Uuid, out int life) || life != d.Life))
        {
            return null;
        }

        return Disk.Parked;
    }

    private void StartMessages()
    {
        if (_messagesStarted)
        {
            Core.Resume();
        }
        else
        {
            _messagesStarted = true;
            if (Disk.Record.Parked is not null)
            {
                Disk.Record = Disk.Record with { Parked = null };
                Disk.Parked = null;
            }

            Core.Start();
        }

        PumpSoon();
    }

    private IEnumerable<SimulatedCheckpoint> Line() =>
        Disk.Store.Where(c => RecoveryChoices.Stands(c.Epoch, Disk.Record.Discarded));

    private void Beat()
    {
        Core.Beat();
        Prune();
        Core.OldestKept = Line().Select(c => c.Index).DefaultIfEmpty().First();
        if (Core.Forget() is long member)
        {
            Disk.Log.Collect(member);
        }

        if (!_turnTaken && Disk.Record.Pending is null
            && (Core.ToSettle ?? RecoveryChoices.HeardSettled(Disk.Record, Host.Name, Core.Peers(null))) is { } node)
        {
            Disk.Record = Disk.Record with
            {
                Departures = [.. Disk.Record.Departures.Select(d => d.Node == node ? d with { Settled = true } : d)],
            };
            Core.Settle(node);
        }

        Core.SettledIncarnation = RecoveryChoices.SettledIncarnation(Disk.Record);

        SimulatedWorld.RequireDurable(this, Line());
        Later(50_000 + World.Random.Next(100_000), Beat);
    }

    // Checkpoints that are older than the policy keeps go, but for those that a recovery may need.
    private void Prune()
    {
        if (_turnTaken || Disk.Record.Pending is not null)
        {
            return;
        }

        IReadOnlyList<CheckpointPoint> standing = SimulatedCheckpoint.PointsOf(Line());
        IReadOnlyList<CheckpointPoint> all = SimulatedCheckpoint.PointsOf(Disk.Store);
        long line = RecoveryChoices.LeastLine(Disk.Record, Core.Peers(null), Core.DurableIndex);
        HashSet<ulong> old = [.. Disk.Store.SkipLast(World.CheckpointsKept).Select(c => c.Epoch)];
        _ = Disk.Store.RemoveAll(c => old.Contains(c.Epoch) && !RecoveryChoices.IsNeeded(
            standing, standing.Concat(all).First(p => p.Epoch == c.Epoch), line));
    }

    // What was appended reaches the disk when it does.
    internal void SyncSoon() => Later(World.Random.Next(4_000), () =>
    {
        if (Disk.Log.IsDirty)
        {
            Disk.Log.Commit();
            Core.LogChanged();
        }
    });
}
