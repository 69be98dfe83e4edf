using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Simulation;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using XenTwoLevelCkpt.Simulation.Timed;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>The options that make a run a timed one.</summary>
internal sealed class TimedOptions
{
    private readonly Option<string?> _cost = Text(
        "--cost", "DISTRIBUTION", "T_n: how long a process stands still for its checkpoint, such as 50ms.");

    private readonly Option<string?> _phases = Text(
        "--phases", "FILE", "T_n as measured: what 'xtlctl checkpoint', 'watch' or 'show' printed with --json.");

    private readonly Option<string?> _image = Text("--image", "SIZE", "Bytes of one VM's image, such as 64MiB.");

    private readonly Option<string?> _storage = Text(
        "--storage", "SIZE", "Bytes a second of the storage that all nodes share, such as 1GiB.");

    private readonly Option<string?> _link = Text("--link", "SIZE", "Bytes a second that one checkpoint's writing can reach.");

    private readonly Option<bool> _wait = new("--wait-for-storage")
    {
        Description = "A process stands still until its checkpoint is written.",
    };

    private readonly Option<string?> _mtbf = Text(
        "--mtbf", "DISTRIBUTION", "Time between failures of one node, such as exponential:24h or weibull:24h,0.7.");

    private readonly Option<string?> _failures = Text(
        "--failures", "FILE", "Recorded failures: lines of 'seconds,node'.");

    private readonly Option<string?> _detection = Text(
        "--detection", "DISTRIBUTION", "From a failure to the beginning of the recovery (1s).");

    private readonly Option<string?> _restart = Text(
        "--restart", "DISTRIBUTION", "From there until a process that rolled back runs again (10s).");

    private readonly Option<string?> _replay = Text("--replay", "TIME", "For each message replayed from the log (0s).");

    private readonly Option<string?> _duration = Text(
        "--duration", "TIME", "Simulated time of a timed run; where missing, what --events take without checkpoints.");

    private static readonly (string Unit, double Factor)[] Sizes =
    [
        ("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0), ("TiB", 1099511627776.0), ("kB", 1e3), ("MB", 1e6),
        ("GB", 1e9), ("TB", 1e12), ("B", 1.0),
    ];

    private Option[] All =>
    [
        _cost, _phases, _image, _storage, _link, _wait, _mtbf, _failures, _detection, _restart, _replay, _duration,
    ];

    /// <summary>Adds the options.</summary>
    internal void AddTo(Command command)
    {
        foreach (Option option in All)
        {
            command.Add(option);
        }
    }

    /// <summary>True where one of them was given.</summary>
    internal bool Given(ParseResult result) => All.Any(option => result.GetResult(option) is { Implicit: false });

    /// <summary>True where --duration was given.</summary>
    internal bool HasDuration(ParseResult result) => result.GetValue(_duration) is not null;

    /// <summary>T_n.</summary>
    internal Distribution Cost(ParseResult result)
    {
        if (result.GetValue(_phases) is not { } path)
        {
            return Distribution.Parse(result.GetValue(_cost) ?? "0s");
        }

        return result.GetValue(_cost) is null
            ? ReadPhases(path)
            : throw new SettingsException("--cost and --phases exclude each other");
    }

    /// <summary>Time between failures of one node; null for none.</summary>
    internal Distribution? BetweenFailures(ParseResult result) =>
        result.GetValue(_mtbf) is { } text ? Distribution.Parse(text) : null;

    /// <summary>The timed run.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="run">What the other options say.</param>
    internal TimedSettings Settings(ParseResult result, RunSettings run) => new()
    {
        Topology = run.Topology,
        Workload = run.Workload,
        Lane = run.Lanes[0],
        Seed = run.Seed,
        Duration = result.GetValue(_duration) is { } duration
            ? TimeText.ParseSeconds(duration)
            : Traffic.DurationOf(run.Workload, run.Topology, run.Seed, run.Events) / 1e9,
        Cost = Cost(result),
        ImageBytes = Size(result.GetValue(_image)) ?? 0,
        StorageBandwidth = Size(result.GetValue(_storage)) ?? double.PositiveInfinity,
        LinkBandwidth = Size(result.GetValue(_link)) ?? double.PositiveInfinity,
        WaitForStorage = result.GetValue(_wait),
        Failures = BetweenFailures(result),
        RecordedFailures = result.GetValue(_failures) is { } file ? ReadFailures(file) : [],
        Detection = Distribution.Parse(result.GetValue(_detection) ?? "1s"),
        Restart = Distribution.Parse(result.GetValue(_restart) ?? "10s"),
        ReplayCost = TimeText.ParseSeconds(result.GetValue(_replay) ?? "0s"),
    };

    private static Option<string?> Text(string name, string help, string description) =>
        new(name) { HelpName = help, Description = description };

    private static double? Size(string? text)
    {
        if (text is null)
        {
            return null;
        }

        string number = text.Trim();
        double factor = 1;
        foreach ((string unit, double bytes) in Sizes)
        {
            if (number.EndsWith(unit, StringComparison.Ordinal))
            {
                number = number[..^unit.Length];
                factor = bytes;
                break;
            }
        }

        return double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && value >= 0 && double.IsFinite(value)
            ? value * factor
            : throw new FormatException($"'{text}' is no size; expected a number and a unit (B kB MB GB KiB MiB GiB), such as 64MiB");
    }

    // Reports one after the other or in an array: 'checkpoint' and 'watch' print the whole pause, 'show' prints the domains.
    private static Distribution ReadPhases(string path)
    {
        var reader = new Utf8JsonReader(
            File.ReadAllBytes(path), new JsonReaderOptions { AllowMultipleValues = true });
        var seconds = new List<double>();
        try
        {
            while (reader.Read())
            {
                JsonElement value = JsonElement.ParseValue(ref reader);
                foreach (JsonElement report in value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : new[] { value })
                {
                    seconds.Add(PauseOf(report) / 1e3);
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new InvalidDataException(
                $"{path} is no report of 'xtlctl checkpoint --json': {e.Message.ReplaceLineEndings(" ")}", e);
        }

        if (seconds.Count == 0 || seconds.Any(time => time < 0))
        {
            throw new InvalidDataException($"{path} has no report of a checkpoint, or one with a time below 0");
        }

        return new Distribution(seconds);
    }

    // Milliseconds. All domains are suspended before the first is captured, and all captured before the first runs again.
    private static double PauseOf(JsonElement report)
    {
        if (report.TryGetProperty("pauseMs", out JsonElement pause))
        {
            return pause.GetDouble();
        }

        JsonElement[] phases = report.TryGetProperty("phases", out JsonElement own)
            ? [own]
            : [.. report.GetProperty("domains").EnumerateArray().Select(domain => domain.GetProperty("phases"))];
        double Longest(params string[] names) => phases.Max(part =>
            names.Max(name => part.TryGetProperty(name, out JsonElement time) ? time.GetDouble() : 0));
        return phases.Any(part => part.EnumerateObject().Any(time => time.Value.GetDouble() < 0))
            ? -1
            : Longest("ts") + Longest("ta", "tm", "td", "tc") + Longest("tr");
    }

    private static List<(double Time, int Node)> ReadFailures(string path)
    {
        var failures = new List<(double, int)>();
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            string[] parts = line.Split(',');
            if (line.Length == 0 || line[0] == '#')
            {
                continue;
            }

            failures.Add(parts.Length == 2
                && double.TryParse(parts[0], NumberStyles.Float, CultureInfo.InvariantCulture, out double time)
                && int.TryParse(parts[1], NumberStyles.Integer, CultureInfo.InvariantCulture, out int node)
                ? (time, node)
                : throw new InvalidDataException($"{path}, line {number}: expected 'seconds,node', such as 3600,4"));
        }

        return failures;
    }
}
