using System.CommandLine;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Timed;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim run</c>: one configuration.</summary>
internal static class RunCommand
{
    // The checker keeps every interval of the run until it ends.
    private const long JudgedUnasked = 1_000_000;

    private static readonly string[] Names =
        ["protocol", "level", "workload", "vms", "nodes", "seed", "events", "simulated_seconds"];

    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions();
        var timed = new TimedOptions();
        var trace = new Option<string?>("--trace")
        {
            Description = "Write the run's trace, for 'xtlsim check'.",
            HelpName = "FILE",
        };
        var judge = new Option<bool?>("--judge")
        {
            Description = "Have the checker count useless checkpoints and rollback distances; done unasked up to a million "
                + "events.",
        };
        var command = new Command(
            "run", "Run one configuration. With a cost of checkpoints, storage or failures it is a timed run.")
        {
            trace, judge,
        };
        model.AddTo(command);
        timed.AddTo(command);
        context.AddSeed(command);
        context.AddFormats(command);
        command.SetAction(result =>
        {
            ResultFormat format = context.Format(result);
            RunSettings settings = model.Settings(result, context.Seed(result));
            settings.Lanes[0].Validate();
            ResultTable table = null!;
            void Execute(Action<TraceEvent>? record) => table = timed.Given(result)
                ? Timed(settings, timed.Settings(result, settings) with { Trace = record })
                : Untimed(settings, record, result.GetValue(judge) ?? settings.Events <= JudgedUnasked);

            if (result.GetValue(trace) is { } path)
            {
                TraceHeader header = Metrics.HeaderOf(settings.Lanes[0], settings.Topology, timed.Given(result));
                OutputFiles.WriteStream(path, stream =>
                {
                    using TraceWriter writer = TraceWriter.Create(
                        stream, header, path.EndsWith(".jsonl", StringComparison.Ordinal));
                    Execute(item => writer.Write(in item));
                    writer.Complete();
                });
            }
            else
            {
                Execute(null);
            }

            context.Output.Write(table.Format(format));
            return ExitCodes.Ok;
        });
        return command;
    }

    private static object[] Named(RunSettings settings, long events, double seconds) =>
    [
        settings.Lanes[0].Protocol.ToLowerInvariant(), settings.Lanes[0].Flat ? "flat" : "two-level",
        Workload.NameOf(settings.Workload.Kind), settings.Topology.Vms, settings.Topology.Nodes, settings.Seed, events,
        seconds,
    ];

    private static ResultTable Untimed(RunSettings settings, Action<TraceEvent>? record, bool judged)
    {
        LaneSettings lane = settings.Lanes[0];
        TraceHeader header = Metrics.HeaderOf(lane, settings.Topology);
        TraceChecker? checker = judged ? new TraceChecker(header) : null;
        void Receive(TraceEvent item)
        {
            record?.Invoke(item);
            checker?.Add(in item);
        }

        RunResult run = checker is null && record is null
            ? Run.Execute(settings)
            : Run.Execute(
                settings,
                [Lane.Create(lane, settings.Topology, settings.Seed, new TraceProbe(header.Line, Receive))]);
        double[] judgement = checker is null ? [] : Metrics.Of(checker.Complete());
        var table = new ResultTable([.. Names, .. Metrics.OfLanes, .. checker is null ? [] : Metrics.OfJudgements]);
        table.Add([
            .. Named(settings, run.Events, run.EndTime / 1e9),
            .. Metrics.Of(run.Lanes[0]).Concat(judgement).Select(value => (object)value),
        ]);
        return table;
    }

    private static ResultTable Timed(RunSettings settings, TimedSettings timed)
    {
        TimedResult run = TimedRun.Execute(timed);
        double overhead = (run.Basic + run.Forced) * timed.Cost.Mean;
        var table = new ResultTable([.. Names, .. Metrics.OfTimed, "overhead_seconds"]);
        table.Add([
            .. Named(settings, 2 * (run.Remote + run.Local), timed.Duration),
            .. Metrics.Of(run).Append(overhead).Select(value => (object)value),
        ]);
        return table;
    }
}
