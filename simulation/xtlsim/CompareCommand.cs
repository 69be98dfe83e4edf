using System.CommandLine;
using System.Globalization;
using System.Text;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Studies;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim compare</c>: protocols by workload, all protocols on the same traffic.</summary>
internal static class CompareCommand
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions();
        var protocols = new Option<string?>("--protocols") { Description = "Which; all where missing.", HelpName = "A,B,..." };
        var workloads = new Option<string?>("--workloads") { Description = "Which; all where missing, or trace with --from-trace.", HelpName = "A,B,..." };
        var judge = new Option<bool>("--judge")
        {
            Description = "Have the checker count useless checkpoints and rollback distances.",
        };
        var command = new Command("compare", "Compare protocols by workload.") { protocols, workloads, judge };
        model.AddTo(command);
        context.AddStudy(command);
        command.SetAction(result =>
        {
            string[] names = Metrics.List(result, protocols, ProtocolFamily.All.Select(traits => traits.Name));
            WorkloadKind[] kinds =
            [
                .. Metrics.List(
                    result, workloads,
                    Workload.Names.Where(entry => model.HasTrace(result) == (entry.Kind == WorkloadKind.Recorded))
                        .Select(entry => entry.Name)).Select(Workload.KindOf),
            ];
            bool judged = result.GetValue(judge);
            string[] metrics = judged ? [.. Metrics.OfLanes, .. Metrics.OfJudgements] : Metrics.OfLanes;
            foreach (string name in names)
            {
                new LaneSettings { Protocol = name }.Validate();
            }

            double[] RunPoint(WorkloadKind kind, ulong seed)
            {
                RunSettings settings = model.Settings(result, seed, kind);
                settings = settings with { Lanes = [.. names.Select(name => settings.Lanes[0] with { Protocol = name })] };
                return judged
                    ? [.. Metrics.Judged(settings).SelectMany(values => values)]
                    : [.. Run.Execute(settings).Lanes.SelectMany(Metrics.Of)];
            }

            foreach (WorkloadKind kind in kinds)
            {
                _ = model.Settings(result, 1, kind);
            }

            var study = new GridStudy<WorkloadKind>(kinds, context.Seeds(result), context.Seed(result), RunPoint);
            if (context.RunJobs(result, study) is not { } results)
            {
                return ExitCodes.Ok;
            }

            string[] shown =
            [
                "checkpoints_per_tick", "basic", "forced", "forced_per_message", "logged_messages", "control_messages",
                "piggyback_bytes", .. judged ? ["useless", "rollback_distance_mean", "domino_nodes"] : Array.Empty<string>(),
            ];
            var table = new ResultTable(
                ["workload", "protocol", .. shown.SelectMany(name => new[] { name, name + "_ci95" })]);
            for (int w = 0; w < kinds.Length; w++)
            {
                for (int p = 0; p < names.Length; p++)
                {
                    table.Add([
                        Workload.NameOf(kinds[w]), names[p],
                        .. shown.SelectMany(name =>
                        {
                            int value = (p * metrics.Length) + Array.IndexOf(metrics, name);
                            Summary summary = study.SummaryOf(results, w, value);
                            return new object[] { summary.Mean, summary.HalfWidth };
                        }),
                    ]);
                }
            }

            return context.Deliver(result, "compare", table, ("compare", Script(table, kinds.Length, names)));
        });
        return command;
    }

    // Clustered bars, checkpoints for each tick of a timer.
    private static string Script(ResultTable table, int workloads, string[] protocols)
    {
        var script = new StringBuilder("$d << EOD\n");
        for (int w = 0; w < workloads; w++)
        {
            object[][] rows = [.. table.Rows.Skip(w * protocols.Length).Take(protocols.Length)];
            script.Append(CultureInfo.InvariantCulture, $"{rows[0][0]}")
                .AppendJoin("", rows.Select(row => string.Create(CultureInfo.InvariantCulture, $" {(double)row[2]:R}")))
                .Append('\n');
        }

        script.Append("EOD\nset terminal svg size 1000,500 dynamic background rgb 'white' font 'sans,11'\n")
            .Append("set title 'Checkpoints for each tick of a timer'\n")
            .Append("set style data histogram; set style fill solid 0.8; set grid y; set key outside\n")
            .Append("set logscale y; set yrange [0.5:*]; set xtics rotate by -20\nplot ")
            .AppendJoin(", ", protocols.Select((name, i) => $"$d u {i + 2}:xtic(1) t '{name}'"));
        return script.Append('\n').ToString();
    }
}
