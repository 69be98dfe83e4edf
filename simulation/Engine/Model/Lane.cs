namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>What one protocol does with a traffic.</summary>
public sealed record LaneSettings
{
    /// <summary>A name of <see cref="Protocol.ProtocolFamily"/>.</summary>
    public string Protocol { get; init; } = "bcs";

    /// <summary>False: two levels, where a node is a process of the protocol and its checkpoint covers all of its VMs.
    /// True: every VM is a process.</summary>
    public bool Flat { get; init; }

    /// <summary>From one tick of a process's timer to the next. The first comes at a uniform part of the mean.</summary>
    public Random.Distribution Interval { get; init; } = new(Random.DistributionKind.Jittered, 100, 0.1);

    /// <summary>True where the basic checkpoints of a recorded trace are the ticks, those of all VMs of a process, instead
    /// of a timer's.</summary>
    public bool RecordedTicks { get; init; }

    /// <summary>How long a marker of a coordinated protocol travels.</summary>
    public Random.Distribution ControlDelay { get; init; } = new(Random.DistributionKind.Exponential, 0.001);

    /// <summary>Checks the settings.</summary>
    /// <exception cref="SettingsException">The protocol is unknown, or the interval is 0.</exception>
    public void Validate()
    {
        if (Interval.Mean <= 0)
        {
            throw new SettingsException("the mean time between basic checkpoints has to be above 0");
        }

        if (!XenTwoLevelCkpt.Protocol.ProtocolFamily.All.Any(
            known => string.Equals(known.Name, Protocol, StringComparison.OrdinalIgnoreCase)))
        {
            throw new SettingsException($"no protocol is called '{Protocol}'; there are "
                + string.Join(", ", XenTwoLevelCkpt.Protocol.ProtocolFamily.All.Select(known => known.Name)));
        }
    }
}

/// <summary>What came of a protocol in one run.</summary>
public sealed record LaneResult
{
    /// <summary>Processes: nodes, or VMs in a flat system.</summary>
    public required int Processes { get; init; }

    /// <summary>Checkpoints of processes taken on a tick.</summary>
    public required long Basic { get; init; }

    /// <summary>Checkpoints of processes that a message or a send forced.</summary>
    public required long Forced { get; init; }

    /// <summary>Ticks without a checkpoint.</summary>
    public required long Skipped { get; init; }

    /// <summary>Basic checkpoints, each counted once for each VM that it covers.</summary>
    public required long BasicVms { get; init; }

    /// <summary>Forced checkpoints, each counted once for each VM that it covers.</summary>
    public required long ForcedVms { get; init; }

    /// <summary>Messages delivered between processes.</summary>
    public required long Remote { get; init; }

    /// <summary>Messages delivered inside a process.</summary>
    public required long Local { get; init; }

    /// <summary>Messages delivered with an index below the receiver's: those that the channel log keeps.</summary>
    public required long Logged { get; init; }

    /// <summary>Control messages sent.</summary>
    public required long Control { get; init; }

    /// <summary>Bytes that were piggybacked, control messages included.</summary>
    public required long PiggybackBytes { get; init; }

    /// <summary>The largest index of any process at the end.</summary>
    public required long MaxIndex { get; init; }

    /// <summary>The smallest.</summary>
    public required long MinIndex { get; init; }

    /// <summary>Checkpoints of processes.</summary>
    public long Checkpoints => Basic + Forced;
}

/// <summary>One protocol on one traffic. Checkpoints take no time here.</summary>
/// <remarks>Blocks of events cost one virtual call each; inside, every call to the protocol is direct.</remarks>
public abstract class Lane
{
    /// <summary>Makes a lane.</summary>
    /// <param name="settings">Its settings.</param>
    /// <param name="topology">The VMs on their nodes.</param>
    /// <param name="seed">The run's seed.</param>
    /// <exception cref="SettingsException">The protocol is unknown, or the interval is 0.</exception>
    public static Lane Create(LaneSettings settings, Topology topology, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return Create(settings, topology, seed, default(NoProbe));
    }

    /// <summary>Makes a lane that is watched.</summary>
    /// <typeparam name="TProbe">The watcher.</typeparam>
    /// <param name="settings">Its settings.</param>
    /// <param name="topology">The VMs on their nodes.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="probe">Is told what happens.</param>
    /// <exception cref="SettingsException">The protocol is unknown, or the interval is 0.</exception>
    public static Lane Create<TProbe>(LaneSettings settings, Topology topology, ulong seed, TProbe probe)
        where TProbe : struct, ILaneProbe
    {
        ArgumentNullException.ThrowIfNull(settings);
        settings.Validate();
        return XenTwoLevelCkpt.Protocol.ProtocolFamily.Use(
            settings.Protocol, new Factory<TProbe>(settings, topology, seed, probe));
    }

    /// <summary>Takes the next events of the traffic.</summary>
    /// <param name="block">Events, none before those of the last block.</param>
    public abstract void Consume(ReadOnlySpan<TrafficEvent> block);

    /// <summary>Lets the timers run until the end.</summary>
    /// <param name="end">Nanoseconds, not before the last event.</param>
    /// <returns>What came of it.</returns>
    public abstract LaneResult Finish(long end);

    private sealed class Factory<TProbe>(LaneSettings settings, Topology topology, ulong seed, TProbe probe)
        : XenTwoLevelCkpt.Protocol.IProtocolUse<Lane>
        where TProbe : struct, ILaneProbe
    {
        public Lane With<TProtocol, TPiggyback>()
            where TProtocol : struct, XenTwoLevelCkpt.Protocol.IProtocol<TProtocol, TPiggyback> =>
            new ProtocolLane<TProtocol, TPiggyback, TProbe>(settings, topology, seed, probe);
    }
}
