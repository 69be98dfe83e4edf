using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>Drives <c>./dev lab</c> as a user would.</summary>
internal sealed class Lab(string name)
{
    /// <summary>The lab of this test run, which the fixture boots.</summary>
    internal static Lab Shared { get; } = new(Environment.GetEnvironmentVariable("XTL_LAB") ?? "test");

    internal static string Repository { get; } = FindRepository();

    internal string Name { get; } = name;

    /// <summary>Runs <c>./dev lab ARGS</c> and returns what it said.</summary>
    internal Outcome Run(params string[] args) => RunWithInput(null, args);

    internal Outcome RunWithInput(string? input, params string[] args)
    {
        using Process process = Start(args);
        // Written and read side by side: a full pipe on either side would stop both.
        Task<string> stdout = process.StandardOutput.ReadToEndAsync();
        Task<string> stderr = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.WaitForExit();
        return new Outcome(process.ExitCode, stdout.Result, stderr.Result);
    }

    /// <summary>Starts <c>./dev lab ARGS</c>; the caller disposes the process.</summary>
    internal Process Start(params string[] args)
    {
        var start = new ProcessStartInfo(Path.Combine(Repository, "dev"), ["lab", .. args])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["XTL_LAB"] = Name;
        return Process.Start(start)!;
    }

    /// <summary>Runs a command that has to succeed, and returns its output.</summary>
    internal string Do(params string[] args)
    {
        Outcome outcome = Run(args);
        Assert.True(outcome.ExitCode == 0, $"./dev lab {string.Join(' ', args)}: {outcome}");
        return outcome.Output;
    }

    /// <summary>Runs a command in a Dom0; it has to succeed.</summary>
    internal string Exec(int node, params string[] command) => Do(["exec", $"{node}", "--", .. command]);

    internal Outcome TryExec(int node, params string[] command) => Run(["exec", $"{node}", "--", .. command]);

    internal JsonElement ExecJson(int node, params string[] command)
    {
        using var document = JsonDocument.Parse(Exec(node, command));
        return document.RootElement.Clone();
    }

    /// <summary>What a guest has printed so far.</summary>
    internal string[] Log(int node, string guest) => Do("guest", $"{node}", "log", guest).Split('\n');

    /// <summary>Waits until a stepper has passed a step. One that broke or ended fails the test at once.</summary>
    internal Task<Step> StepBeyondAsync(int node, string guest, long number) => WaitForAsync(
        () =>
        {
            string[] log = Log(node, guest);
            Step.AssertWhole(log);
            return Step.Parse(log).LastOrDefault(s => s.Number > number);
        },
        $"{guest} to pass step {number}");

    /// <summary>Waits until a condition holds; the limit is there to end a test that hangs, not to measure.</summary>
    internal static async Task<T> WaitForAsync<T>(Func<T?> condition, string what, int limitSeconds = 300)
        where T : class
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            if (condition() is { } value)
            {
                return value;
            }

            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < limitSeconds, $"waited in vain for {what}");
            await Task.Delay(TimeSpan.FromSeconds(1), TestContext.Current.CancellationToken);
        }
    }

    /// <summary>How often a test that kills at random moments does so: 20 times with XTL_KILL_ROUNDS=20.</summary>
    internal static int Rounds(int few) =>
        Environment.GetEnvironmentVariable("XTL_KILL_ROUNDS") is { } rounds ? int.Parse(rounds, CultureInfo.InvariantCulture) : few;

    /// <summary>Brings the programs into the nodes. With XTL_PUBLISHED=1 they are those that were published before: of two
    /// runs side by side, each would disturb the other's publishing.</summary>
    internal static string[] Push { get; } =
        Environment.GetEnvironmentVariable("XTL_PUBLISHED") is null ? ["push"] : ["push", "--as-it-is"];

    private static string FindRepository()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "XenTwoLevelCkpt.sln")))
        {
            directory = Path.GetDirectoryName(directory);
        }

        return directory ?? throw new InvalidOperationException("The tests run inside the repository.");
    }
}

internal sealed record Outcome(int ExitCode, string Output, string Error)
{
    public override string ToString() => $"exit code {ExitCode}\n{Output}\n{Error}";
}
