using System.CommandLine;
using System.Globalization;
using System.Text;
using XenTwoLevelCkpt.Simulation;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using XenTwoLevelCkpt.Simulation.Studies;
using XenTwoLevelCkpt.Simulation.Timed;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim interval</c>: how often to take basic checkpoints, by formula and by simulation.</summary>
internal static class IntervalCommand
{
    // From a sixth to six times Young's interval, evenly in the logarithm.
    private const double Reach = 6;
    private const int Steps = 15;

    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions(vms: 1, events: 1);
        var timed = new TimedOptions();
        var formulas = new Option<bool>("--formulas-only") { Description = "No simulation." };
        var command = new Command(
            "interval",
            "The interval between basic checkpoints by Young, by Daly, by Di and others, and the one of least waste in "
            + "simulation. Needs --cost and --mtbf (of one node), and --duration to simulate.")
        {
            formulas,
        };
        model.AddTo(command);
        timed.AddTo(command);
        context.AddStudy(command);
        command.SetAction(result =>
        {
            double cost = timed.Cost(result).Mean;
            RunSettings settings = model.Settings(result, 1);
            TimedSettings once = timed.Settings(result, settings);
            if (cost <= 0 || once.Failures is not { Mean: > 0 } failures)
            {
                throw new SettingsException("an interval follows from the cost of a checkpoint and from failures; give --cost and --mtbf, such as --cost 5min --mtbf exponential:24h");
            }

            double system = failures.Mean / settings.Topology.Nodes;

            // Where nothing is said of the work it is long, and its length of no consequence.
            double work = timed.HasDuration(result) ? once.Duration : 1000 * (system + cost);
            double young = Intervals.Young(cost, system);
            var rows = new List<(string Name, double Interval)>
            {
                ("young", young),
                ("daly", Intervals.Daly(cost, system)),
                ("di", Intervals.Di(work, work / system, cost)),
            };
            var table = new ResultTable("method", "interval_seconds", "waste", "waste_ci95");
            if (result.GetValue(formulas))
            {
                foreach ((string name, double interval) in rows)
                {
                    table.Add(name, interval, double.NaN, double.NaN);
                }

                context.Output.Write(table.Format(context.Format(result)));
                return ExitCodes.Ok;
            }

            for (int i = 0; i < Steps; i++)
            {
                rows.Add(("simulated", young * Portable.Pow(Reach, (2.0 * i / (Steps - 1)) - 1)));
            }

            var study = new GridStudy<double>(
                [.. rows.Select(row => row.Interval)], context.Seeds(result), context.Seed(result), (interval, seed) =>
                {
                    TimedSettings run = timed.Settings(result, settings with { Seed = seed });
                    return
                    [
                        1 - TimedRun.Execute(run with
                        {
                            Lane = run.Lane with { Interval = new Distribution(DistributionKind.Constant, interval + cost) },
                        }).Useful,
                    ];
                });
            if (context.RunJobs(result, study) is not { } results)
            {
                return ExitCodes.Ok;
            }

            var curve = new List<(double Interval, double Waste)>();
            for (int i = 0; i < rows.Count; i++)
            {
                Summary waste = study.SummaryOf(results, i, 0);
                table.Add(rows[i].Name, rows[i].Interval, waste.Mean, waste.HalfWidth);
                if (i >= rows.Count - Steps)
                {
                    curve.Add((rows[i].Interval, waste.Mean));
                }
            }

            double least = Intervals.Least([.. curve.Select(point => (Portable.Log(point.Interval), point.Waste))]);
            table.Add("simulated-optimum", Portable.Exp(least), double.NaN, double.NaN);
            return context.Deliver(result, "interval", table, ("interval", Script(table)));
        });
        return command;
    }

    private static string Script(ResultTable table)
    {
        var script = new StringBuilder("$d << EOD\n");
        foreach (object[] row in table.Rows.Where(row => row[0] is "simulated"))
        {
            script.AppendLine(CultureInfo.InvariantCulture, $"{row[1]} {row[2]} {row[3]}");
        }

        script.Append("EOD\nset terminal svg size 800,500 dynamic background rgb 'white' font 'sans,11'\n")
            .Append("set title 'Share of time that is not useful work, by interval'\n")
            .Append("set logscale x; set xlabel 'interval between basic checkpoints, s'; set grid; set yrange [0:*]\n");
        int arrow = 1;
        foreach (object[] row in table.Rows.Where(row => row[0] is not "simulated"))
        {
            string x = ((double)row[1]).ToString("R", CultureInfo.InvariantCulture);
            script.Append(CultureInfo.InvariantCulture,
                $"set arrow {arrow} from {x}, graph 0 to {x}, graph 1 nohead dt 2 lc {arrow}\nset label {arrow} '{row[0]}' at {x}, graph {0.98 - (0.05 * arrow):0.00} tc lt {arrow} offset 0.5,0\n");
            arrow++;
        }

        return script.Append("plot $d u 1:2:3 w yerrorlines pt 7 ps 0.4 t 'simulated'\n").ToString();
    }
}
