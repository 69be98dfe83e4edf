using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>Saves and live migrations by <c>xl</c> of a guest that <c>watch</c> checkpoints: neither program's work suffers from the
/// other's, judged by the stepper.</summary>
public sealed class TakeoverTests : IAsyncLifetime
{
    private const string Name = "moved";
    private const string Folder = "/var/tmp/xtl-takeover";

    private static readonly string[] Where = ["--store", $"{Folder}/store", "--state", $"{Folder}/state"];

    // The other guests would take most of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    private readonly Lab _lab = Lab.Shared;

    public async ValueTask InitializeAsync()
    {
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "pause", o));

        // Writes more than a migration waits for, so that it reads the log several times.
        _lab.Do(
            "guest", "1", "create", Name, "stepper.pages=2048", "stepper.write=128", "stepper.period=100", "stepper.verify=all");
        await _lab.StepBeyondAsync(1, Name, 10);
        _lab.Exec(1, "mkdir", "-p", Folder);
    }

    public ValueTask DisposeAsync()
    {
        _lab.Do("guest", "1", "destroy", Name);
        _lab.Exec(1, "rm", "-rf", Folder);
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "unpause", o));
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_guest_migrated_live_under_watch_is_whole_and_so_are_its_checkpoints()
    {
        // Xen's console daemon names the log by what the domain was called when it was made.
        (string error, JsonElement[] taken) = await UnderWatchAsync($"{Name}--incoming", () =>
        {
            // To the same host, without a shell between the two ends.
            string before = _lab.Exec(1, "xl", "domid", Name).Trim();
            _lab.Exec(1, "xl", "migrate", "-s", "", Name, "xl migrate-receive");
            Assert.NotEqual(before, _lab.Exec(1, "xl", "domid", Name).Trim());
        });

        // While both ends are there they have one UUID.
        Assert.True(
            error.Contains("have one UUID", StringComparison.Ordinal)
            || error.Contains("switched off by another program", StringComparison.Ordinal)
            || error.Contains("is in use by another program", StringComparison.Ordinal)
            || error.Contains("saved or migrated by 'xl'", StringComparison.Ordinal), error);
        await JudgeAsync(taken);
    }

    [Fact]
    public async Task A_guest_saved_under_watch_restores_from_the_file_and_from_the_checkpoints()
    {
        string file = $"{Folder}/saved.xl";
        (_, JsonElement[] taken) = await UnderWatchAsync(Name, () =>
        {
            // The domain is gone after it, and comes back from the file.
            _lab.Exec(1, "sh", "-c", $"until xl save {Name} {file}; do sleep 1; done");
            _lab.Exec(1, "xl", "restore", file);
        });
        await JudgeAsync(taken);
    }

    private async Task<(string Error, JsonElement[] Taken)> UnderWatchAsync(string log, Action meanwhile)
    {
        string[] watching =
        [
            "exec", "1", "--", "xtlctl", "watch", .. Where, "--every", "2s", "--domain", Name, "--suspend-timeout", "2m",
            "--background-share", "1", "--json",
        ];
        using var watch = _lab.Start(watching);
        Task<string> output = watch.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> error = watch.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await Lab.WaitForAsync(() => Kept() > 1 ? "" : null, "two checkpoints");
        meanwhile();
        long step = Step.Parse(_lab.Log(1, Name))[^1].Number;
        await _lab.StepBeyondAsync(1, log, step + 5);
        int before = Kept();
        await Lab.WaitForAsync(() => Kept() > before + 2 ? "" : null, "three checkpoints behind it");
        _lab.Exec(1, "pkill", "-INT", "-f", "[x]tlctl watch");
        await watch.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (await error, Taken(await output));
    }

    // The first and the last of them, and one between.
    private async Task JudgeAsync(JsonElement[] taken)
    {
        Step.AssertWhole(_lab.Log(1, Name));
        Assert.Equal(0, _lab.TryExec(1, ["xtlctl", "verify", .. Where]).ExitCode);
        foreach (JsonElement checkpoint in new[] { taken[^1], taken[taken.Length / 2], taken[0] })
        {
            _lab.TryExec(1, "xl", "destroy", Name);
            int lines = _lab.Log(1, Name).Length;
            _lab.Exec(1, ["xtlctl", "restore", .. Where, checkpoint.GetProperty("id").GetString()!]);
            _ = await Lab.WaitForAsync(
                () => Step.Parse(_lab.Log(1, Name).Skip(lines)) is { Count: > 8 } s ? s : null, "the restored guest to go on");
            Step.AssertWhole(_lab.Log(1, Name));
        }
    }

    private int Kept()
    {
        Outcome outcome = _lab.TryExec(1, ["xtlctl", "checkpoints", "--json", .. Where]);
        if (outcome.ExitCode != 0)
        {
            return 0;
        }

        using var document = JsonDocument.Parse(outcome.Output);
        return document.RootElement.GetArrayLength();
    }

    private static JsonElement[] Taken(string output)
    {
        var found = new List<JsonElement>();
        var reader = new Utf8JsonReader(
            System.Text.Encoding.UTF8.GetBytes(output), new JsonReaderOptions { AllowMultipleValues = true });
        while (reader.Read())
        {
            found.Add(JsonElement.ParseValue(ref reader));
        }

        return [.. found];
    }
}
