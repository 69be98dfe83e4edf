using System.CommandLine;
using System.Globalization;
using System.Text;
using XenTwoLevelCkpt.Simulation;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Studies;
using XenTwoLevelCkpt.Simulation.Timed;

namespace XenTwoLevelCkpt.Simulator;

/// <summary><c>xtlsim sweep</c>: one number over any two options of <c>run</c>.</summary>
internal static class SweepCommand
{
    // A sweep of more would be a mistake.
    private const int MostPoints = 10_000;

    /// <summary>Makes the command.</summary>
    /// <param name="context">What commands share.</param>
    internal static Command Make(AppContext context)
    {
        var model = new ModelOptions();
        var timed = new TimedOptions();
        var x = new Option<string>("--x")
        {
            Description = "The first option, without dashes, and its values: local=0,0.25,0.5.",
            HelpName = "NAME=A,B,...",
            Required = true,
        };
        var y = new Option<string>("--y") { Description = "The second one.", HelpName = "NAME=A,B,...", Required = true };
        var metric = new Option<string>("--metric")
        {
            Description = "Which number: a column of 'xtlsim run'.",
            DefaultValueFactory = _ => "forced_per_basic",
        };
        var over = new Option<string?>("--over")
        {
            Description = "Divide by the same number of another protocol on the same workload.",
            HelpName = "PROTOCOL",
        };
        var command = new Command("sweep", "Run a grid over any two options; CSV and a heat map.") { x, y, metric, over };
        model.AddTo(command);
        timed.AddTo(command);
        context.AddStudy(command);
        command.SetAction(result =>
        {
            (string xName, string[] xs) = Axis(command, result.GetRequiredValue(x), "--x");
            (string yName, string[] ys) = Axis(command, result.GetRequiredValue(y), "--y");
            if ((long)xs.Length * ys.Length > MostPoints)
            {
                throw new SettingsException($"{xs.Length} x {ys.Length} points are more than {MostPoints}");
            }

            string name = result.GetValue(metric)!;
            ParseResult[] points =
            [
                .. from yValue in ys
                   from xValue in xs
                   select With(context, result, $"--{xName}={xValue}", $"--{yName}={yValue}"),
            ];
            bool isTimed = points.Any(timed.Given);
            string[] metrics = isTimed ? Metrics.OfTimed : Metrics.OfLanes;
            int value = Array.IndexOf(metrics, name);
            if (value < 0)
            {
                throw new SettingsException($"--metric {name}: a {(isTimed ? "timed " : "")}run gives {string.Join(", ", metrics)}");
            }

            foreach (ParseResult point in points)
            {
                RunSettings settings = model.Settings(point, 1);
                settings.Lanes[0].Validate();
                (settings.Lanes[0] with { Protocol = result.GetValue(over) ?? "bcs" }).Validate();
                timed.Settings(point, settings).Validate();
            }

            double RunWith(RunSettings settings, ParseResult point) => isTimed
                ? Metrics.Of(TimedRun.Execute(timed.Settings(point, settings)))[value]
                : Metrics.Of(Run.Execute(settings).Lanes[0])[value];

            var study = new GridStudy<ParseResult>(points, context.Seeds(result), context.Seed(result), (point, seed) =>
            {
                RunSettings settings = model.Settings(point, seed);
                double number = RunWith(settings, point);
                return result.GetValue(over) is { } other
                    ? [number / RunWith(settings with { Lanes = [settings.Lanes[0] with { Protocol = other }] }, point)]
                    : [number];
            });
            if (context.RunJobs(result, study) is not { } results)
            {
                return ExitCodes.Ok;
            }

            string title = result.GetValue(over) is { } divisor ? $"{name}_over_{divisor}" : name;
            var table = new ResultTable(
                xName.Replace('-', '_'), yName.Replace('-', '_'), title.Replace('-', '_'), "ci95");
            for (int i = 0; i < points.Length; i++)
            {
                Summary summary = study.SummaryOf(results, i, 0);
                table.Add(xs[i % xs.Length], ys[i / xs.Length], summary.Mean, summary.HalfWidth);
            }

            return context.Deliver(result, "sweep", table, ("sweep", Script(table, xName, yName, title, xs, ys, title != name)));
        });
        return command;
    }

    private static (string Name, string[] Values) Axis(Command command, string text, string option)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? text : text[..equals];
        string[] values = equals < 0 ? [] : text[(equals + 1)..].Split(text.Contains(';', StringComparison.Ordinal) ? ';' : ',');
        return values.Length > 0 && values.All(value => value.Length > 0)
            && command.Options.Any(known => known.Name == "--" + name)
            ? (name, values)
            : throw new SettingsException($"{option} {text}: expected an option of 'run' and its values, such as local=0,0.5,1");
    }

    private static ParseResult With(AppContext context, ParseResult result, params string[] more)
    {
        ParseResult point = result.RootCommandResult.Command.Parse([.. context.Args, .. more]);
        return point.Errors.Count == 0 ? point : throw new SettingsException(point.Errors[0].Message);
    }

    private static string Script(
        ResultTable table, string xName, string yName, string title, string[] xs, string[] ys, bool ratio)
    {
        var script = new StringBuilder("$d << EOD\n");
        for (int i = 0; i < table.Rows.Count; i++)
        {
            script.AppendLine(
                CultureInfo.InvariantCulture, $"{i % xs.Length} {i / xs.Length} {(double)table.Rows[i][2]:R}");
        }

        static string Tics(string[] values) => string.Join(',', values.Select((value, i) => $"'{value}' {i}"));
        return script.Append("EOD\nset terminal svg size 800,560 dynamic background rgb 'white' font 'sans,11'\n")
            .Append($"set title '{title}' noenhanced; set xlabel '{xName}' noenhanced; set ylabel '{yName}' noenhanced\n")
            .Append($"set xtics ({Tics(xs)}); set ytics ({Tics(ys)}); unset key\n")
            .Append($"set xrange [-0.5:{xs.Length - 1}.5]; set yrange [-0.5:{ys.Length - 1}.5]\n")
            .Append("set palette defined (0 '#2166ac', 1 '#f7f7f7', 2 '#b2182b')\n")
            .Append(ratio ? "set logscale cb; set cbrange [0.1:10]\n" : "")
            .Append("plot $d u 1:2:3 w image, $d u 1:2:(sprintf('%.3g', $3)) w labels font 'sans,9'\n")
            .ToString();
    }
}
