using System.Diagnostics;
using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>What <c>./dev lab</c> promises.</summary>
public sealed class LabTests
{
    [Fact]
    public void Exec_passes_exit_code_outputs_input_and_arguments_through()
    {
        Outcome outcome = Lab.Shared.RunWithInput("to the Dom0", "exec", "1", "--", "sh", "-c", "cat; echo out; echo err >&2; exit 42");
        Assert.Equal((42, "to the Dom0out\n", "err\n"), (outcome.ExitCode, outcome.Output, outcome.Error));

        Assert.Equal("a b|$HOME|it's|*|", Lab.Shared.Exec(1, "printf", "%s|", "a b", "$HOME", "it's", "*"));
    }

    [Fact]
    public void Up_changes_nothing_where_all_is_up()
    {
        string before = Lab.Shared.Do("ps", "--json");
        Lab.Shared.Do("up");
        Assert.Equal(before, Lab.Shared.Do("ps", "--json"));
    }

    [Fact]
    public void A_wrong_use_is_told_apart_from_a_failure()
    {
        Assert.Equal(64, Lab.Shared.Run("up", "--nodes", "many").ExitCode);
        Assert.Equal(64, Lab.Shared.Run("guest", "1", "create", "x", "--type", "vmx").ExitCode);
        Outcome missing = Lab.Shared.Run("exec", "9", "--", "true");
        Assert.Equal(1, missing.ExitCode);
        Assert.Contains("node 9 is not up", missing.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_killed_up_and_down_leave_nothing()
    {
        var lab = new Lab("test-kill");
        lab.Do("down");
        string emulator = $"xtl-{lab.Name}-1";
        using (Process up = lab.Start("up"))
        {
            _ = up.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            _ = up.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await Lab.WaitForAsync(() => Processes(emulator) is { Count: > 0 } p ? p : null, "the emulator to start");
            Assert.NotEmpty(Namespaces());
            up.Kill();
            await up.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        await Lab.WaitForAsync(() => Leftovers(lab) is "" ? "" : null, "what a killed 'up' had started to end");

        lab.Do("up");
        Assert.NotEmpty(Processes(emulator));
        using (var ps = JsonDocument.Parse(lab.Do("ps", "--json")))
        {
            Assert.Equal("up", ps.RootElement[0].GetProperty("state").GetString());
        }

        lab.Do("down");
        Assert.Equal("", Leftovers(lab));

        // The keeper is found by its argument, the folder of the lab's state.
        List<string> Namespaces() => Processes($"run/{lab.Name}");
        string Leftovers(Lab l) => string.Join('\n', [
            .. Processes($"xtl-{l.Name}-"), .. Namespaces(), .. Lines("/proc/mounts", $"run/{l.Name}"),
            .. Directory.GetDirectories("/sys/class/net").Where(d => Path.GetFileName(d) is "labbr0" or "node1"),
            .. Directory.GetFiles("/sys/block", "backing_file", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 3, IgnoreInaccessible = true })
                .Where(f => File.ReadAllText(f).Contains("/lab/.state/", StringComparison.Ordinal)),
            .. Directory.Exists("/run/netns") ? Directory.GetFiles("/run/netns").Where(n => n.Contains("xtl", StringComparison.Ordinal)) : []]);
    }

    /// <summary>Processes whose command line contains a text.</summary>
    private static List<string> Processes(string text)
    {
        var found = new List<string>();
        foreach (string directory in Directory.GetDirectories("/proc"))
        {
            try
            {
                string command = File.ReadAllText(Path.Combine(directory, "cmdline")).Replace('\0', ' ');
                if (int.TryParse(Path.GetFileName(directory), out int pid) && pid != Environment.ProcessId
                    && command.Contains(text, StringComparison.Ordinal))
                {
                    found.Add($"{pid}: {command}");
                }
            }
            catch (IOException)
            {
                // No process, or one that has ended meanwhile.
            }
        }

        return found;
    }

    private static IEnumerable<string> Lines(string file, string text) =>
        File.ReadLines(file).Where(line => line.Contains(text, StringComparison.Ordinal));
}
