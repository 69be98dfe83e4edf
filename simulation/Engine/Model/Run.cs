namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>One traffic, and what some protocols do with it.</summary>
public sealed record RunSettings
{
    /// <summary>The VMs on their nodes.</summary>
    public required Topology Topology { get; init; }

    /// <summary>The workload.</summary>
    public required Workload Workload { get; init; }

    /// <summary>The protocols.</summary>
    public required IReadOnlyList<LaneSettings> Lanes { get; init; }

    /// <summary>Sends and deliveries, messages inside nodes included, after which the run ends.</summary>
    public required long Events { get; init; }

    /// <summary>The seed.</summary>
    public ulong Seed { get; init; } = 1;
}

/// <summary>What came of a run.</summary>
/// <param name="Events">Sends and deliveries that happened.</param>
/// <param name="EndTime">When the last one did, in nanoseconds.</param>
/// <param name="Lanes">One result for each protocol.</param>
public sealed record RunResult(long Events, long EndTime, IReadOnlyList<LaneResult> Lanes);

/// <summary>Runs.</summary>
public static class Run
{
    // 96 KiB: the block stays in the L2 cache while the lanes go over it one after the other.
    private const int BlockLength = 4096;

    /// <summary>Carries a run out.</summary>
    /// <param name="settings">What to run.</param>
    /// <exception cref="SettingsException">A setting is out of range.</exception>
    public static RunResult Execute(RunSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return Execute(settings, settings.Lanes.Select(
            lane => Lane.Create(lane, settings.Topology, settings.Seed)).ToArray());
    }

    /// <summary>Carries a run out on lanes that were made before.</summary>
    /// <param name="settings">What to run; its lanes are not looked at.</param>
    /// <param name="lanes">The lanes.</param>
    /// <exception cref="SettingsException">A setting is out of range.</exception>
    public static RunResult Execute(RunSettings settings, IReadOnlyList<Lane> lanes)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(lanes);
        if (settings.Events < 1)
        {
            throw new SettingsException($"{settings.Events} events: there has to be at least 1");
        }

        if (settings.Workload.Recording is null && settings.Lanes.Any(lane => lane.RecordedTicks))
        {
            throw new SettingsException("recorded ticks need a recorded trace");
        }

        var traffic = new Traffic(settings.Workload, settings.Topology, settings.Seed);
        var block = new TrafficEvent[BlockLength];
        long events = 0, ticks = 0, end = 0;
        while (events < settings.Events)
        {
            Span<TrafficEvent> part = block.AsSpan(0, (int)Math.Min(block.Length, settings.Events - events));
            part = part[..traffic.Next(part)];
            if (part.IsEmpty)
            {
                break;
            }

            foreach (Lane lane in lanes)
            {
                lane.Consume(part);
            }

            events += part.Length - (traffic.Ticks - ticks);
            ticks = traffic.Ticks;
            end = part[^1].Time;
        }

        return new RunResult(events, end, lanes.Select(lane => lane.Finish(end)).ToArray());
    }
}
