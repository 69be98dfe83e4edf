using System.CommandLine;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim run</c>: one configuration.</summary>
internal static class RunCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions();
        var cost = new Option<string>("--cost")
        {
            Description = "T_n, the time of a node checkpoint, for the overhead by equation (1) of the paper.",
            HelpName = "TIME",
            DefaultValueFactory = _ => "0s",
        };
        var command = new Command("run", "Run one configuration.") { cost };
        model.AddTo(command);
        context.AddSeed(command);
        context.AddFormats(command);
        command.SetAction(result =>
        {
            ResultFormat format = context.Format(result);
            RunSettings settings = model.Settings(result, context.Seed(result));
            double seconds = TimeText.ParseSeconds(result.GetValue(cost)!);
            RunResult run = Run.Execute(settings);
            LaneSettings lane = settings.Lanes[0];
            LaneResult r = run.Lanes[0];
            var table = new ResultTable(
                "protocol", "level", "workload", "vms", "nodes", "seed", "events", "simulated_seconds", "basic", "forced",
                "skipped_ticks", "basic_vm", "forced_vm", "forced_per_basic", "remote_messages", "local_messages",
                "logged_messages", "control_messages", "piggyback_bytes", "min_index", "max_index", "overhead_seconds");
            table.Add(
                lane.Protocol.ToLowerInvariant(), lane.Flat ? "flat" : "two-level",
                Workload.NameOf(settings.Workload.Kind), settings.Topology.Vms, settings.Topology.Nodes, settings.Seed,
                run.Events, run.EndTime / 1e9, r.Basic, r.Forced, r.Skipped, r.BasicVms, r.ForcedVms,
                r.Basic == 0 ? double.NaN : (double)r.Forced / r.Basic, r.Remote, r.Local, r.Logged, r.Control,
                r.PiggybackBytes, r.MinIndex, r.MaxIndex, r.Checkpoints * seconds);
            context.Output.Write(table.Format(format));
            return ExitCodes.Ok;
        });
        return command;
    }
}
