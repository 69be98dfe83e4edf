using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using XenTwoLevelCkpt.Simulation;
using XenTwoLevelCkpt.Simulation.Studies;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>What commands share: where to print, options of studies, and how the jobs of a study are run.</summary>
/// <param name="output">Receives results.</param>
/// <param name="error">Receives messages and progress.</param>
/// <param name="args">The command line, which a shard's file repeats.</param>
/// <param name="joined">The results of a study's jobs where shards are joined.</param>
/// <param name="cancellation">Ends the command before its time.</param>
internal sealed class AppContext(
    TextWriter output, TextWriter error, string[] args, double[][]? joined, CancellationToken cancellation)
{
    private readonly Option<bool> _json = new("--json") { Description = "Print JSON." };
    private readonly Option<bool> _csv = new("--csv") { Description = "Print CSV." };
    private readonly Option<string?> _config = new(ConfigurationFile.OptionName)
    {
        Description = "Options from a YAML file: long names without the dashes. The command line goes before it.",
        HelpName = "FILE",
    };

    private readonly Option<int> _seeds = new("--seeds")
    {
        Description = "Runs for each point.",
        DefaultValueFactory = _ => 30,
    };

    private readonly Option<ulong> _seed = new("--seed") { Description = "The (first) seed.", DefaultValueFactory = _ => 1 };

    private readonly Option<int> _threads = new("--threads")
    {
        Description = "Jobs to run at a time. Results do not depend on it.",
        DefaultValueFactory = _ => Environment.ProcessorCount,
    };

    private readonly Option<string?> _shard = new("--shard")
    {
        Description = "Run only part i of n, and write its results to a file for 'xtlsim join'.",
        HelpName = "i/n",
    };

    private readonly Option<string?> _shardFile = new("--shard-file")
    {
        Description = "That file.",
        HelpName = "FILE",
    };

    private readonly Option<string?> _out = new("--out")
    {
        Description = "A directory for CSV and SVG; made where it is missing.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _noPlot = new("--no-plot") { Description = "No pictures, so no gnuplot." };

    /// <summary>Receives results.</summary>
    internal TextWriter Output => output;

    /// <summary>Receives messages and progress.</summary>
    internal TextWriter Error => error;

    /// <summary>The command line.</summary>
    internal IReadOnlyList<string> Args => args;

    /// <summary>Ends the command before its time.</summary>
    internal CancellationToken Cancellation => cancellation;

    /// <summary>Adds --json, --csv and --config.</summary>
    internal void AddFormats(Command command)
    {
        command.Add(_json);
        command.Add(_csv);
        command.Add(_config);
    }

    /// <summary>Adds the options of studies.</summary>
    internal void AddStudy(Command command)
    {
        AddFormats(command);
        command.Add(_seeds);
        command.Add(_seed);
        command.Add(_threads);
        command.Add(_shard);
        command.Add(_shardFile);
        command.Add(_out);
        command.Add(_noPlot);
    }

    /// <summary>Adds --seed.</summary>
    internal void AddSeed(Command command) => command.Add(_seed);

    /// <summary>--seeds.</summary>
    internal int Seeds(ParseResult result) => result.GetValue(_seeds);

    /// <summary>--seed.</summary>
    internal ulong Seed(ParseResult result) => result.GetValue(_seed);

    /// <summary>The format that was asked for.</summary>
    internal ResultFormat Format(ParseResult result) =>
        (result.GetValue(_json), result.GetValue(_csv)) switch
        {
            (true, true) => throw new SettingsException("--json and --csv exclude each other"),
            (true, _) => ResultFormat.Json,
            (_, true) => ResultFormat.Csv,
            _ => ResultFormat.Text,
        };

    /// <summary>Runs the jobs of a study, or a shard of them.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="study">The study.</param>
    /// <returns>All results; null where a shard was written instead.</returns>
    internal double[][]? RunJobs(ParseResult result, Study study)
    {
        if (joined is not null)
        {
            return joined.Length == study.Jobs
                ? joined
                : throw new InvalidDataException(
                    $"the shards have {joined.Length} jobs, the study {study.Jobs}: they are of another version");
        }

        int threads = result.GetValue(_threads);
        if (threads is < 1 or > 4096)
        {
            throw new SettingsException($"--threads {threads}: there have to be 1 to 4096");
        }

        if (result.GetValue(_shard) is not { } shard)
        {
            return Run(study, [.. Enumerable.Range(0, study.Jobs)], threads);
        }

        (int part, int parts) = ParseShard(shard);
        string file = result.GetValue(_shardFile)
            ?? throw new SettingsException("--shard needs --shard-file FILE for its results");
        int[] jobs = [.. Enumerable.Range(0, study.Jobs).Where(job => job % parts == part - 1)];
        double[][] results = Run(study, jobs, threads);
        ShardFile.Write(file, new ShardFile(WithoutShard(args), study.Jobs, jobs, results));
        return null;
    }

    /// <summary>Prints a table, and writes it and its pictures where --out says.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="name">Of the files, without extension.</param>
    /// <param name="table">The table.</param>
    /// <param name="script">Gnuplot scripts by the names of their files.</param>
    internal int Deliver(
        ParseResult result, string name, ResultTable table, params (string Name, string Script)[] script)
    {
        ResultFormat format = Format(result);
        if (result.GetValue(_out) is { } folder)
        {
            Directory.CreateDirectory(folder);
            OutputFiles.Write(Path.Combine(folder, $"{name}.csv"), table.Format(ResultFormat.Csv));
            if (!result.GetValue(_noPlot))
            {
                // All are drawn before the first is written.
                (string Name, string Svg)[] pictures =
                    [.. script.Select(entry => (entry.Name, Gnuplot.Draw(entry.Script)))];
                foreach ((string picture, string svg) in pictures)
                {
                    OutputFiles.Write(Path.Combine(folder, $"{picture}.svg"), svg);
                }
            }
        }

        output.Write(table.Format(format));
        return ExitCodes.Ok;
    }

    private static (int Part, int Parts) ParseShard(string text)
    {
        string[] numbers = text.Split('/');
        return numbers.Length == 2
            && int.TryParse(numbers[0], NumberStyles.None, CultureInfo.InvariantCulture, out int part)
            && int.TryParse(numbers[1], NumberStyles.None, CultureInfo.InvariantCulture, out int parts)
            && part >= 1 && part <= parts
            ? (part, parts)
            : throw new SettingsException($"--shard {text}: expected i/n with 1 <= i <= n, such as 1/4");
    }

    // What decides about the jobs: where results go and how they are spread does not.
    private static string[] WithoutShard(string[] args)
    {
        string[] valued = ["--shard", "--shard-file", "--threads", "--out"];
        string[] flags = ["--json", "--csv", "--no-plot"];
        var kept = new List<string>();
        for (int i = 0; i < args.Length; i++)
        {
            if (valued.Contains(args[i]))
            {
                i++;
            }
            else if (!flags.Contains(args[i]) && !valued.Any(name => args[i].StartsWith(name + "=", StringComparison.Ordinal)
                || args[i].StartsWith(name + ":", StringComparison.Ordinal)))
            {
                kept.Add(args[i]);
            }
        }

        return [.. kept];
    }

    // A bar on a terminal, nothing in a pipe.
    private double[][] Run(Study study, int[] jobs, int threads)
    {
        if (Console.IsErrorRedirected || !ReferenceEquals(error, Console.Error))
        {
            return study.RunJobs(jobs, threads, null, cancellation);
        }

        return AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(error) })
            .Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("jobs", maxValue: jobs.Length);
                return study.RunJobs(jobs, threads, done => task.Value = done, cancellation);
            });
    }
}
