using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Dom0Tests.Disks;

/// <summary>What a guest of the lab's image has printed on its console. BROKEN there fails the test at once.</summary>
/// <param name="guest">The guest's name.</param>
internal sealed partial class GuestConsole(string guest)
{
    private readonly string _log = $"/var/log/xen/console/guest-{guest}.log";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Bytes printed so far: an offset for the others.</summary>
    internal long Length => new FileInfo(_log).Length;

    /// <summary>The number of the last step; 0 before the first.</summary>
    internal long LastStep =>
        Steps(0) is [.., { } last] ? long.Parse(last.Groups[1].Value, CultureInfo.InvariantCulture) : 0;

    /// <summary>What was printed from an offset on.</summary>
    internal string Text(long from)
    {
        if (!File.Exists(_log))
        {
            return "";
        }

        using FileStream file = new(_log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        file.Seek(Math.Min(from, file.Length), SeekOrigin.Begin);
        return new StreamReader(file).ReadToEnd();
    }

    /// <summary>Waits for a step, counted over what was printed from an offset on where one is given.</summary>
    internal async Task StepsAsync(long steps, long from = 0)
    {
        await WaitAsync(() => from == 0 ? LastStep >= steps : Steps(from).Count >= steps, from);
        Assert.DoesNotContain("BROKEN", Text(0), StringComparison.Ordinal);
    }

    /// <summary>Waits for a condition; the limit is there to end a test that hangs.</summary>
    internal async Task WaitAsync(Func<bool> condition, long from)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromMinutes(4))
            {
                await TellTasksAsync();
                throw new TimeoutException($"The guest did not come as far as it should: {Text(from)}");
            }

            await Task.Delay(200, Token);
        }
    }

    // What each task of the guest waits for, on its console.
    private async Task TellTasksAsync()
    {
        foreach (string key in new[] { "9", "t" })
        {
            using Process xl = Process.Start("xl", ["sysrq", guest, key]);
            await xl.WaitForExitAsync(Token);
            await Task.Delay(2000, Token);
        }
    }

    private MatchCollection Steps(long from)
    {
        string text = Text(from);
        Assert.DoesNotContain("BROKEN", text, StringComparison.Ordinal);
        return StepLine().Matches(text);
    }

    // Of the stepper and of the scribe, which counts no pages.
    [GeneratedRegex(@"^step (\d+) hash [0-9a-f]{16} (?:pages \d+ )?ms \d+\r?$", RegexOptions.Multiline)]
    private static partial Regex StepLine();
}
