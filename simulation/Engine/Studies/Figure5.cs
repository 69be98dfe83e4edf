using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Studies;

/// <summary>Whether the 10,000 events of Figure 5 are the system's or each VM's.</summary>
public enum EventsReading
{
    /// <summary>Of the system.</summary>
    System,

    /// <summary>Of each VM.</summary>
    EachVm,
}

/// <summary>What the solid line of Figure 5 runs.</summary>
public enum PlainReading
{
    /// <summary>Nodes as processes, uniform traffic.</summary>
    NodesUniform,

    /// <summary>Every VM a process, uniform traffic.</summary>
    VmsUniform,

    /// <summary>Every VM a process, the same half-local traffic as the broken line has. (Nodes as processes on that
    /// traffic are the broken line.)</summary>
    VmsSameTraffic,
}

/// <summary>One point of one reading.</summary>
/// <param name="Events">Whose the 10,000 events are.</param>
/// <param name="BasicPerNode">Basic checkpoints of a node: 100 or 8 x 100.</param>
/// <param name="Weight">What a forced checkpoint of a node counts: 1 or 8. One of a VM counts 1.</param>
/// <param name="Plain">What the solid line runs.</param>
/// <param name="Vms">VMs.</param>
/// <param name="PlainForced">The solid line: forced checkpoints of BCS.</param>
/// <param name="GroupForced">The broken line: forced checkpoints of group BCS.</param>
public sealed record Figure5Point(
    EventsReading Events, int BasicPerNode, int Weight, PlainReading Plain, int Vms, Summary PlainForced,
    Summary GroupForced);

/// <summary>
/// Figure 5 of the two-level paper (He Hui and others, section 6): forced checkpoints by number of VMs, in every reading of
/// its text. "A system up to 1000 VMs, the max numbers on one node is 8 VMs. Totally 10000 events happened in this
/// system, and basic checkpoints per VM is 100."
/// </summary>
public sealed class Figure5 : Study
{
    /// <summary>VMs on a node.</summary>
    public const int VmsPerNode = 8;

    private const int Basic = 100;
    private const long EventsOfReading = 10_000;
    private const int Values = 3;

    private static readonly int[] SystemSizes = [8, 40, .. Enumerable.Range(1, 12).Select(i => 80 * i), 1000];

    // A thousand times the events: a few sizes.
    private static readonly int[] EachVmSizes = [8, 128, 248, 504, 752, 1000];

    private static readonly bool[] Both = [false, true];
    private static readonly int[] Weights = [1, VmsPerNode];

    private readonly int _seeds;
    private readonly ulong _firstSeed;
    private readonly (EventsReading Events, bool Local, int Vms)[] _cells;

    /// <summary>Makes the study.</summary>
    /// <param name="seeds">Runs for each point, at least 2.</param>
    /// <param name="firstSeed">The first one's seed.</param>
    /// <param name="largest">The most VMs: 1000 in the paper.</param>
    /// <exception cref="SettingsException">A number is out of range.</exception>
    public Figure5(int seeds, ulong firstSeed, int largest = 1000)
    {
        if (seeds is < 2 or > 100_000)
        {
            throw new SettingsException($"{seeds} seeds: a confidence interval needs 2 or more (at most 100000)");
        }

        if (largest < VmsPerNode)
        {
            throw new SettingsException($"{largest} VMs: the figure begins at {VmsPerNode}");
        }

        _seeds = seeds;
        _firstSeed = firstSeed;
        _cells =
        [
            .. from reading in Enum.GetValues<EventsReading>()
               from local in Both
               from vms in SizesOf(reading)
               where vms <= largest
               select (reading, local, vms),
        ];
    }

    /// <inheritdoc/>
    public override int Jobs => _cells.Length * _seeds;

    /// <inheritdoc/>
    public override double WorkOf(int job)
    {
        (EventsReading reading, _, int vms) = _cells[job / _seeds];
        return reading == EventsReading.System ? EventsOfReading : (double)EventsOfReading * vms;
    }

    /// <inheritdoc/>
    /// <remarks>Forced checkpoints with 100 and with 800 basic checkpoints a node, and with every VM a process.</remarks>
    public override double[] RunJob(int job)
    {
        (EventsReading reading, bool local, int vms) = _cells[job / _seeds];
        var topology = new Topology(vms, VmsPerNode);
        var workload = new Workload { Kind = local ? WorkloadKind.Local : WorkloadKind.Uniform };
        long events = EventsOfReading * (reading == EventsReading.System ? 1 : vms);
        ulong seed = _firstSeed + (ulong)(job % _seeds);
        double duration = Traffic.DurationOf(workload, topology, seed, events) / 1e9;
        var often = new Distribution(DistributionKind.Jittered, duration / (Basic * VmsPerNode), 0.1);
        var seldom = new Distribution(DistributionKind.Jittered, duration / Basic, 0.1);
        RunResult result = Run.Execute(new RunSettings
        {
            Topology = topology,
            Workload = workload,
            Events = events,
            Seed = seed,
            Lanes =
            [
                new LaneSettings { Interval = seldom },
                new LaneSettings { Interval = often },
                new LaneSettings { Interval = seldom, Flat = true },
            ],
        });
        return [.. result.Lanes.Select(lane => (double)lane.Forced)];
    }

    /// <summary>The points of all readings.</summary>
    /// <param name="results">The results of all jobs in their order.</param>
    public IReadOnlyList<Figure5Point> PointsOf(IReadOnlyList<double[]> results)
    {
        ArgumentNullException.ThrowIfNull(results);
        Summary Of(EventsReading reading, bool local, int vms, int value, int weight)
        {
            int cell = Array.IndexOf(_cells, (reading, local, vms));
            return Summary.Of([.. Enumerable.Range(cell * _seeds, _seeds).Select(job => weight * results[job][value])]);
        }

        return
        [
            .. from cell in _cells
               where cell.Local
               from often in Both
               from weight in Weights
               from plain in Enum.GetValues<PlainReading>()
               orderby cell.Events, often, weight, plain, cell.Vms
               let value = often ? 1 : 0
               select new Figure5Point(
                   cell.Events, often ? Basic * VmsPerNode : Basic, weight, plain, cell.Vms,
                   plain switch
                   {
                       PlainReading.NodesUniform => Of(cell.Events, false, cell.Vms, value, weight),
                       PlainReading.VmsUniform => Of(cell.Events, false, cell.Vms, Values - 1, 1),
                       _ => Of(cell.Events, true, cell.Vms, Values - 1, 1),
                   },
                   Of(cell.Events, true, cell.Vms, value, weight)),
        ];
    }

    private static int[] SizesOf(EventsReading reading) => reading == EventsReading.System ? SystemSizes : EachVmSizes;
}
