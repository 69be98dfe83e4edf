using System.CommandLine;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Timed;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>The numbers that runs give, by the names of columns.</summary>
internal static class Metrics
{
    /// <summary>Of a run whose checkpoints take no time.</summary>
    internal static readonly string[] OfLanes =
    [
        "basic", "forced", "checkpoints", "checkpoints_per_tick", "forced_per_basic", "forced_per_message", "skipped_ticks", "basic_vm", "forced_vm",
        "remote_messages", "local_messages", "logged_messages", "control_messages", "piggyback_bytes", "min_index",
        "max_index",
    ];

    /// <summary>What the checker adds.</summary>
    internal static readonly string[] OfJudgements =
    [
        "useless", "rollback_distance_mean", "rollback_distance_max", "domino_nodes", "findings",
    ];

    /// <summary>Of a timed run.</summary>
    internal static readonly string[] OfTimed =
    [
        "basic", "forced", "checkpoints", "forced_per_basic", "broken", "remote_messages", "control_messages", "useful", "waste",
        "suspended", "lost", "down", "failures", "recoveries", "rollbacks", "rollbacks_per_recovery",
        "checkpoints_undone", "farthest_rollback", "domino", "replayed", "write_seconds_mean", "write_seconds_max",
        "writers_max",
    ];

    /// <summary>The numbers of <see cref="OfLanes"/>.</summary>
    internal static double[] Of(LaneResult r) =>
    [
        r.Basic, r.Forced, r.Checkpoints, Ratio(r.Checkpoints, r.Basic + r.Skipped), Ratio(r.Forced, r.Basic),
        Ratio(r.Forced, r.Remote), r.Skipped, r.BasicVms, r.ForcedVms,
        r.Remote, r.Local, r.Logged, r.Control, r.PiggybackBytes, r.MinIndex, r.MaxIndex,
    ];

    /// <summary>The numbers of <see cref="OfJudgements"/>.</summary>
    internal static double[] Of(CheckReport r) =>
        [r.Useless, r.RollbackDistanceMean, r.RollbackDistanceMax, r.DominoNodes, r.Counts.Values.Sum()];

    /// <summary>The numbers of <see cref="OfTimed"/>.</summary>
    internal static double[] Of(TimedResult r) =>
    [
        r.Basic, r.Forced, r.Basic + r.Forced, Ratio(r.Forced, r.Basic), r.Broken, r.Remote, r.Control, r.Useful, 1 - r.Useful, r.Suspended,
        r.Lost, r.Down, r.Failures, r.Recoveries, r.Rollbacks, Ratio(r.Rollbacks, r.Recoveries), r.CheckpointsUndone,
        r.FarthestRollback, r.Domino, r.Replayed, r.WriteMean, r.WriteMax, r.WritersMax,
    ];

    /// <summary>Runs lanes on one traffic, and has the checker judge each.</summary>
    /// <param name="settings">The run.</param>
    /// <returns>For each lane the numbers of <see cref="OfLanes"/> and <see cref="OfJudgements"/>.</returns>
    internal static double[][] Judged(RunSettings settings)
    {
        TraceChecker[] checkers = [.. settings.Lanes.Select(lane =>
        {
            lane.Validate();
            return new TraceChecker(HeaderOf(lane, settings.Topology));
        })];
        Lane[] lanes = [.. settings.Lanes.Select((lane, i) => Lane.Create(
            lane, settings.Topology, settings.Seed,
            new TraceProbe(HeaderOf(lane, settings.Topology).Line, item => checkers[i].Add(in item))))];
        RunResult result = Simulation.Model.Run.Execute(settings, lanes);
        return [.. result.Lanes.Select((lane, i) => (double[])[.. Of(lane), .. Of(checkers[i].Complete())])];
    }

    /// <summary>The header of a lane's trace.</summary>
    internal static TraceHeader HeaderOf(LaneSettings lane, Topology topology, bool rollbacks = false)
    {
        ProtocolTraits traits = ProtocolFamily.All.First(
            known => string.Equals(known.Name, lane.Protocol, StringComparison.OrdinalIgnoreCase));
        return TraceHeader.For(traits, lane.Flat ? topology.Vms : topology.Nodes, rollbacks, channelLogs: true);
    }

    /// <summary>Reads "a,b,c".</summary>
    internal static string[] List(ParseResult result, Option<string?> option, IEnumerable<string> all) =>
        result.GetValue(option) is { } text ? text.Split(',', StringSplitOptions.TrimEntries) : [.. all];

    private static double Ratio(double a, double b) => b == 0 ? 0 : a / b;
}
