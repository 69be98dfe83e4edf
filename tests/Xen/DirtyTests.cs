using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary><c>xtlctl dirty</c>, judged by what the guest says it wrote and by the hypervisor's own dump.</summary>
public sealed class DirtyTests
{
    private const string Name = "rate";

    // They would take part of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    [Fact]
    public async Task Rate_is_that_of_the_guest_and_the_log_is_off_afterwards()
    {
        Lab lab = Lab.Shared;

        // Samples of 4,000 pages: the two hundred or so that the guest's kernel writes by itself are the same in
        // each, and weigh little. A buffer of four times that: hardly a page is written twice in one sample.
        lab.Do(
            "guest", "1", "create", Name, "--memory", "192",
            "stepper.pages=16384", "stepper.write=512", "stepper.period=500");
        Array.ForEach(Others, o => lab.Exec(1, "xl", "pause", o));
        try
        {
            await lab.StepBeyondAsync(1, Name, 10);
            using var measurement = lab.Start(
                "exec", "1", "--", "xtlctl", "dirty", Name, "--for", "48s", "--every", "4s", "--json");
            Task<string> output = measurement.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            Task<string> error = measurement.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            // Counted from the log's first moment: the guest is slower while xtlctl starts.
            await Lab.WaitForAsync(() => LogDirtyIsOn() ? "" : null, "log-dirty mode to be on");
            Step before = Step.Parse(lab.Log(1, Name))[^1];
            await measurement.WaitForExitAsync(TestContext.Current.CancellationToken);
            Step after = Step.Parse(lab.Log(1, Name))[^1];
            Assert.True(measurement.ExitCode == 0, await error);
            using var document = JsonDocument.Parse(await output);
            JsonElement report = document.RootElement;

            double written = (after.Pages - before.Pages) * 1000.0 / (after.Milliseconds - before.Milliseconds);
            double seen = report.GetProperty("pagesPerSecond").GetDouble();
            TestContext.Current.SendDiagnosticMessage($"the guest wrote {written:F0} pages/s, xtlctl saw {seen:F0}");
            Assert.InRange(seen, 0.8 * written, 1.2 * written);

            Assert.True(report.GetProperty("distinctPages").GetInt64() <= report.GetProperty("dirtyPages").GetInt64());
            Assert.Equal(report.GetProperty("dirtyPages").GetInt64(), report.GetProperty("copiedPages").GetInt64());
            Assert.True(report.GetProperty("copyMiBPerSecond").GetDouble() > 0);
            Assert.False(LogDirtyIsOn());
            Step.AssertWhole(lab.Log(1, Name));
        }
        finally
        {
            lab.Do("guest", "1", "destroy", Name);
            Array.ForEach(Others, o => lab.Exec(1, "xl", "unpause", o));
        }
    }

    [Fact]
    public async Task A_second_measurement_is_refused_and_an_interrupted_one_leaves_the_log_off()
    {
        Lab lab = Lab.Shared;
        using var first = lab.Start(
            "exec", "1", "--", "timeout", "-s", "INT", "300", "xtlctl", "dirty", LabFixture.Pv, "--for", "10m");
        Task<string> output = first.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> error = first.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await Lab.WaitForAsync(() => LogDirtyIsOn() ? "" : null, "log-dirty mode to be on");

        Outcome second = lab.TryExec(1, "xtlctl", "dirty", LabFixture.Pv, "--for", "1s");
        Assert.Equal(75, second.ExitCode);
        Assert.Contains("in use by another program", second.Error, StringComparison.Ordinal);
        Assert.True(LogDirtyIsOn());

        lab.Do("exec", "1", "--", "pkill", "-INT", "-x", "timeout");
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.False(LogDirtyIsOn());
        Assert.Equal("", await error);
        Assert.Contains("pages/s", await output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_pv_guest_is_measured_without_copying()
    {
        JsonElement report = Lab.Shared.ExecJson(1, "xtlctl", "dirty", LabFixture.Pv, "--for", "5s", "--every", "1s", "--json");
        Assert.True(report.GetProperty("dirtyPages").GetInt64() > 100);
        Assert.Equal(JsonValueKind.Null, report.GetProperty("copiedPages").ValueKind);
        Assert.False(LogDirtyIsOn());
    }

    [Fact]
    public void An_unknown_domain_is_named()
    {
        Outcome outcome = Lab.Shared.TryExec(1, "xtlctl", "dirty", "nobody");
        Assert.Equal(66, outcome.ExitCode);
        Assert.Contains("'nobody'", outcome.Error, StringComparison.Ordinal);
    }

    /// <summary>Asks the hypervisor itself: debug key q dumps the domains, and names the paging modes of each. The
    /// console ring holds older dumps too, and what else it holds is left there.</summary>
    internal static bool LogDirtyIsOn(int node = 1) => Lab.Shared
        .Exec(node, "sh", "-c", "xl debug-keys q; xl dmesg")
        .Split("'q' pressed")[^1]
        .Split('\n')
        .Any(line => line.Contains("paging assistance:", StringComparison.Ordinal)
            && line.Contains("log_dirty", StringComparison.Ordinal));
}
