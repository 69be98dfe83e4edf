using System.CommandLine;
using System.Diagnostics;
using XenTwoLevelCkpt.Simulation.Model;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim scale</c>: one large run, with its rate and memory.</summary>
internal static class ScaleCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions(vms: 1_000_000, events: 100_000_000);
        var command = new Command("scale", "One large run: events a second and the memory that it took.");
        model.AddTo(command);
        context.AddSeed(command);
        context.AddFormats(command);
        command.SetAction(result =>
        {
            ResultFormat format = context.Format(result);
            var watch = Stopwatch.StartNew();
            RunSettings settings = model.Settings(result, context.Seed(result));
            RunResult run = Run.Execute(settings);
            double seconds = watch.Elapsed.TotalSeconds;
            using var process = Process.GetCurrentProcess();
            LaneResult lane = run.Lanes[0];
            var table = new ResultTable(
                "vms", "nodes", "events", "basic", "forced", "max_index", "seconds", "events_per_second",
                "peak_memory_bytes");
            table.Add(
                settings.Topology.Vms, settings.Topology.Nodes, run.Events, lane.Basic, lane.Forced, lane.MaxIndex, seconds,
                run.Events / seconds, process.PeakWorkingSet64);
            context.Output.Write(table.Format(format));
            return ExitCodes.Ok;
        });
        return command;
    }
}
