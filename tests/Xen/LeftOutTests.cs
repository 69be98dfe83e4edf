using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>A host with guests that cannot be saved, and what the toolstack owes to those that can.</summary>
public sealed class LeftOutTests : IAsyncLifetime
{
    private const string Folder = "/var/tmp/xtl-left";
    private const string Hvm = "l-hvm", Paused = "l-paused", Hung = "l-hung", Boots = "l-boots";

    private static readonly string[] Where = ["--store", $"{Folder}/store", "--state", $"{Folder}/state"];

    private readonly Lab _lab = Lab.Shared;

    public ValueTask InitializeAsync()
    {
        _lab.Exec(1, "mkdir", "-p", Folder);
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        _ = _lab.TryExec(1, "xl", "destroy", Hvm);
        foreach (string guest in new[] { Paused, Hung, Boots })
        {
            _ = _lab.Run("guest", "1", "destroy", guest);
        }

        _lab.Exec(1, "rm", "-rf", Folder);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Guests_that_cannot_be_saved_are_named_and_the_others_are_saved()
    {
        _lab.Exec(1, "sh", "-c", $"printf 'type=\"hvm\"\nname=\"{Hvm}\"\nmemory=32\nvcpus=1\nvnc=0\n' >{Folder}/hvm.cfg");
        _lab.Exec(1, "xl", "create", "-p", $"{Folder}/hvm.cfg");
        _lab.Do("guest", "1", "create", Paused, "stepper.pages=64", "stepper.period=1000");
        _lab.Exec(1, "xl", "pause", Paused);

        // Linux without what answers a request to suspend, as one that hangs (drivers/xen/manage.c).
        _lab.Do("guest", "1", "create", Hung, "stepper.pages=64", "stepper.period=1000", "initcall_blacklist=xen_setup_shutdown_event");

        Outcome outcome = _lab.TryExec(1, Xtlctl(
            "watch", "--every", "10s", "--count", "2", "--json", "--memory-only", "--suspend-timeout", "20s"));
        Assert.True(outcome.ExitCode == 3, outcome.ToString());
        JsonElement[] taken = Taken(outcome.Output);
        Assert.Equal(2, taken.Length);
        foreach (JsonElement report in taken)
        {
            Assert.Equal(
                [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh],
                report.GetProperty("domains").EnumerateArray().Select(d => d.GetProperty("name").GetString()!).Order());
            Assert.Equal(
                [(Hung, "no-answer"), (Hvm, "kind"), (Paused, "paused")],
                report.GetProperty("leftOut").EnumerateArray()
                    .Select(d => (d.GetProperty("name").GetString()!, d.GetProperty("reason").GetString()!)).Order());
        }

        foreach (string guest in new[] { LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh })
        {
            long step = Step.Parse(_lab.Log(1, guest))[^1].Number;
            await _lab.StepBeyondAsync(1, guest, step + 2);
        }

        Assert.DoesNotContain("--ps--", _lab.Exec(1, "xl", "list"), StringComparison.Ordinal);
        TestContext.Current.SendDiagnosticMessage(
            $"pauses with guests that cannot be saved: {string.Join(' ', taken.Select(t => t.GetProperty("pauseMs").GetDouble()))} ms");
    }

    [Fact]
    public async Task A_guest_that_reboots_after_a_checkpoint_is_restarted()
    {
        _lab.Do("guest", "1", "create", Boots, "--on-reboot", "restart", "stepper.pages=64", "stepper.period=500");
        await _lab.StepBeyondAsync(1, Boots, 3);
        string before = _lab.Exec(1, "xl", "domid", Boots).Trim();
        _lab.Exec(1, Xtlctl("watch", "--domain", Boots, "--every", "1s", "--count", "3", "--suspend-timeout", "60s"));

        _lab.Exec(1, "xl", "sysrq", Boots, "b");
        string after = await Lab.WaitForAsync(
            () => _lab.TryExec(1, "xl", "domid", Boots) is { ExitCode: 0 } found && found.Output.Trim() != before
                ? found.Output.Trim()
                : null,
            "the guest to be restarted");
        Assert.NotEqual(before, after);

        // It is another domain of the same UUID: its next checkpoint is of that one.
        await Lab.WaitForAsync(
            () => _lab.Log(1, Boots).Count(l => l.StartsWith("guest: ready", StringComparison.Ordinal)) > 1 ? "" : null, "it to be up again");
        JsonElement report = Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Boots, "--json", "--suspend-timeout", "60s")))[0];
        Assert.Equal(Boots, report.GetProperty("domains")[0].GetProperty("name").GetString());
    }

    private static string[] Xtlctl(string command, params string[] rest) =>
    [
        // The emulated node is slow enough without what spares its guests.
        "xtlctl", command, .. rest, .. Where, .. command is "checkpoint" or "watch" ? ["--background-share", "1"] : (string[])[],
    ];

    private static JsonElement[] Taken(string output)
    {
        var taken = new List<JsonElement>();
        var reader = new Utf8JsonReader(
            System.Text.Encoding.UTF8.GetBytes(output), new JsonReaderOptions { AllowMultipleValues = true });
        while (reader.Read())
        {
            taken.Add(JsonElement.ParseValue(ref reader));
        }

        return [.. taken];
    }
}
