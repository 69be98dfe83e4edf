using System.CommandLine;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim bench</c>: how many events a second this machine does on one core.</summary>
internal static class BenchCommand
{
    // The first rounds run code that the compiler has not optimised yet.
    private const int Rounds = 5;

    private static readonly int[] Pending = [1, 100, 1_000, 10_000, 100_000];

    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var events = new Option<long>("--events")
        {
            Description = "Events of each round.",
            DefaultValueFactory = _ => 20_000_000,
        };
        var command = new Command(
            "bench",
            "Events a second of one core's time: the hold model (each event schedules one, uniform over 2n seconds) and BCS on 125 "
            + "nodes of 8 VMs. The best of five rounds.")
        {
            events,
        };
        context.AddFormats(command);
        command.SetAction(result =>
        {
            long count = result.GetValue(events);
            if (count < 1)
            {
                throw new Simulation.SettingsException($"--events {count}: there has to be at least 1");
            }

            var table = new ResultTable("model", "n", "events_per_second");
            foreach (int n in Pending)
            {
                table.Add("hold", n, Best(count, () => HoldModel.Run(n, count, 1)));
            }

            table.Add("traffic", 1000, Best(count, () => Cluster(count, [])));
            table.Add("bcs", 125, Best(count, () => Cluster(count, [new LaneSettings()])));
            context.Output.Write(table.Format(context.Format(result)));
            return ExitCodes.Ok;
        });
        return command;
    }

    // By processor time: on a machine that has other work the clock on the wall measures that.
    private static double Best(long events, Action round)
    {
        double best = 0;
        for (int i = 0; i < Rounds; i++)
        {
            TimeSpan before = Environment.CpuUsage.TotalTime;
            round();
            best = Math.Max(best, events / (Environment.CpuUsage.TotalTime - before).TotalSeconds);
        }

        return best;
    }

    private static void Cluster(long events, LaneSettings[] lanes)
    {
        var topology = new Topology(1000, 8);
        var workload = new Workload();
        double duration = Traffic.DurationOf(workload, topology, 1, events) / 1e9;
        _ = Simulation.Model.Run.Execute(new RunSettings
        {
            Topology = topology,
            Workload = workload,
            Events = events,
            Lanes = [.. lanes.Select(lane => lane with
            {
                Interval = new Distribution(DistributionKind.Jittered, duration / 100, 0.1),
            })],
        });
    }
}
