using System.CommandLine;
using System.Globalization;
using System.Text;
using XenTwoLevelCkpt.Simulation.Studies;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim figure5</c>.</summary>
internal static class Figure5Command
{
    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var largest = new Option<int>("--vms")
        {
            Description = "The most VMs.",
            DefaultValueFactory = _ => 1000,
        };
        var command = new Command(
            "figure5",
            "Figure 5 of the two-level paper: forced checkpoints of BCS and of group BCS (half of the messages inside the "
            + "node) by number of VMs, 8 a node, in every reading of the paper's text.")
        {
            largest,
        };
        context.AddStudy(command);
        command.SetAction(result =>
        {
            var study = new Figure5(context.Seeds(result), context.Seed(result), result.GetValue(largest));
            _ = context.Format(result);
            if (context.RunJobs(result, study) is not { } results)
            {
                return ExitCodes.Ok;
            }

            IReadOnlyList<Figure5Point> points = study.PointsOf(results);
            var table = new ResultTable(
                "events_of", "basic_per_node", "forced_counts", "plain_bcs", "vms", "bcs_forced", "bcs_ci95",
                "group_forced", "group_ci95", "bcs_over_group");
            foreach (Figure5Point p in points)
            {
                table.Add(
                    NameOf(p.Events), p.BasicPerNode, p.Weight, NameOf(p.Plain), p.Vms, p.PlainForced.Mean,
                    p.PlainForced.HalfWidth, p.GroupForced.Mean, p.GroupForced.HalfWidth,
                    p.GroupForced.Mean == 0 ? double.NaN : p.PlainForced.Mean / p.GroupForced.Mean);
            }

            return context.Deliver(result, "figure5", table, ("figure5", Script(points)));
        });
        return command;
    }

    private static string NameOf(EventsReading reading) => reading == EventsReading.System ? "system" : "each-vm";

    private static string NameOf(PlainReading reading) => reading switch
    {
        PlainReading.NodesUniform => "nodes-uniform",
        PlainReading.VmsUniform => "vms-uniform",
        _ => "vms-same-traffic",
    };

    // A panel for each reading of events, basic checkpoints and weight; in it the three readings of the solid line.
    private static string Script(IReadOnlyList<Figure5Point> points)
    {
        var panels = points.GroupBy(p => (p.Events, p.BasicPerNode, p.Weight)).ToArray();
        var script = new StringBuilder();
        for (int i = 0; i < panels.Length; i++)
        {
            foreach (var line in panels[i].GroupBy(p => p.Plain))
            {
                script.Append($"$d{i}_{(int)line.Key} << EOD\n");
                foreach (Figure5Point p in line)
                {
                    script.AppendLine(CultureInfo.InvariantCulture,
                        $"{p.Vms} {p.PlainForced.Mean:R} {p.PlainForced.HalfWidth:R} {p.GroupForced.Mean:R} {p.GroupForced.HalfWidth:R}");
                }

                script.Append("EOD\n");
            }
        }

        script.Append("set terminal svg size 1000,1400 dynamic background rgb 'white' font 'sans,11'\n")
            .Append("set multiplot layout 4,2 title 'Forced checkpoints by number of VMs, 8 a node (bars: 95% confidence)'\n")
            .Append("set key at screen 0.5,0.972 center horizontal; set xlabel 'VMs'; set grid; set format y '%.1s%c'\n")
            .Append("set yrange [0:*]; set xrange [0:*]; set bars 0.4; set tmargin 4\n");
        string[] lines = ["BCS, nodes, uniform", "BCS, VMs, uniform", "BCS, VMs, half local"];
        for (int i = 0; i < panels.Length; i++)
        {
            (EventsReading events, int basic, int weight) = panels[i].Key;
            script.Append($"set title '10,000 events {(events == EventsReading.System ? "in the system" : "each VM")}, "
                + $"{basic} basic a node, a forced node checkpoint counts {weight}'\n").Append("plot ");
            for (int line = 0; line < lines.Length; line++)
            {
                script.Append($"$d{i}_{line} u 1:2 w l lt {line + 1} t '{lines[line]}', ")
                    .Append($"$d{i}_{line} u 1:2:3 w yerrorbars lt {line + 1} ps 0 not, ");
            }

            // The broken line of the paper.
            script.Append($"$d{i}_0 u 1:4 w l lt 6 dt 2 lw 2 t 'group BCS, half local', ")
                .Append($"$d{i}_0 u 1:4:5 w yerrorbars lt 6 ps 0 not\n")
                .Append("unset key\n");
        }

        return script.Append("unset multiplot\n").ToString();
    }
}
