using System.Globalization;
using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>Checkpoints of real guests, judged by the guests themselves: a stepper's hash chain goes on from where it was
/// only if nothing of its memory is missing. Step K has the same hash in every life of the guest.</summary>
public sealed class CheckpointTests : IAsyncLifetime
{
    private const string Name = "chain";
    private const string Folder = "/var/tmp/xtl-test";

    private static readonly string[] Where = ["--store", $"{Folder}/store", "--state", $"{Folder}/state"];

    // An emulator on a busy machine is slow.
    // The emulated node is slow enough without what spares its guests.
    private static readonly string[] Patience = ["--suspend-timeout", "2m", "--background-share", "1"];

    private readonly Lab _lab = Lab.Shared;

    // The other guests would take most of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    public async ValueTask InitializeAsync()
    {
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "pause", o));
        _lab.Do("guest", "1", "create", Name, "stepper.pages=1024", "stepper.write=64", "stepper.period=100");
        await _lab.StepBeyondAsync(1, Name, 10);
    }

    public ValueTask DisposeAsync()
    {
        _lab.Do("guest", "1", "destroy", Name);
        _lab.Exec(1, "rm", "-rf", Folder);
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "unpause", o));
        return ValueTask.CompletedTask;
    }

    [Fact]
    public void A_guest_with_a_device_model_is_refused_and_the_others_are_not()
    {
        const string Hvm = "hvm";
        _lab.Exec(1, "mkdir", "-p", Folder);
        _lab.Exec(1, "sh", "-c", $"printf 'type=\"hvm\"\nname=\"{Hvm}\"\nmemory=32\nvcpus=1\nvnc=0\n' >{Folder}/hvm.cfg");
        _lab.Exec(1, "xl", "create", "-p", $"{Folder}/hvm.cfg");
        try
        {
            Outcome outcome = _lab.TryExec(1, Xtlctl("checkpoint", "--domain", Hvm));
            Assert.Equal(1, outcome.ExitCode);
            Assert.Contains($"Domain {Hvm} is an HVM guest with a QEMU device model", outcome.Error, StringComparison.Ordinal);
            _ = Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Name, "--json")));
        }
        finally
        {
            _lab.Exec(1, "xl", "destroy", Hvm);
        }

        Step.AssertWhole(_lab.Log(1, Name));
    }

    [Fact]
    public async Task Checkpoints_of_a_chain_restore_and_export_to_what_the_guest_was()
    {
        JsonElement[] taken = Taken(_lab.Exec(1, Xtlctl("watch", "--domain", Name, "--every", "3s", "--count", "4", "--json")));
        Assert.Equal(4, taken.Length);
        Assert.Equal(["full", "increment", "increment", "increment"], taken.Select(MemoryKind));
        Assert.All(taken, t => Assert.True(t.GetProperty("pauseMs").GetDouble() > 0));
        Step.AssertWhole(_lab.Log(1, Name));
        Assert.Contains("4 checkpoints are whole", _lab.Exec(1, Xtlctl("verify")), StringComparison.Ordinal);

        long newer = await RestoredAsync(taken[2]);
        long older = await RestoredAsync(taken[1]);
        Assert.True(older < newer, $"the second checkpoint goes on at step {older}, the third at {newer}");

        string file = $"{Folder}/chain.xl";
        _lab.Exec(1, Xtlctl("export", "--xl", file, Id(taken[1]), Name));
        _lab.Exec(
            1, "sh", "-c",
            $"cd /usr/lib/xen-4.*/bin && PYTHONPATH=../lib/python ./verify-stream-v2 -f xl -i {file}");
        _lab.Exec(1, "xl", "destroy", Name);
        int lines = _lab.Log(1, Name).Length;
        _lab.Exec(1, "xl", "restore", file);
        Assert.InRange(await GoesOnAsync(lines), older - 2, older + 2);
    }

    [Fact]
    public async Task A_process_that_is_killed_leaves_the_guest_running_and_its_log_off()
    {
        var random = new Random(1);
        for (int round = 0; round < Lab.Rounds(4); round++)
        {
            using var watch = _lab.Start(
                ["exec", "1", "--", .. Xtlctl("watch", "--domain", Name, "--every", "1ms")]);
            Task<string> output = watch.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            Task<string> error = watch.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await Lab.WaitForAsync(
                () => _lab.TryExec(1, "pgrep", "-f", "[x]tlctl watch").ExitCode == 0 ? "" : null, "the process to start");
            await Task.Delay(TimeSpan.FromSeconds(4 + (10 * random.NextDouble())), TestContext.Current.CancellationToken);
            _lab.Exec(1, "pkill", "-KILL", "-f", "[x]tlctl watch");
            await watch.WaitForExitAsync(TestContext.Current.CancellationToken);
            _ = await output;
            _ = await error;
            long step = Step.Parse(_lab.Log(1, Name))[^1].Number;
            await _lab.StepBeyondAsync(1, Name, step + 5);
            await Lab.WaitForAsync(
                () => _lab.TryExec(1, "pgrep", "-f", "[x]tlctl guard").ExitCode == 1 ? "" : null, "the guardian to end");
            Assert.False(DirtyTests.LogDirtyIsOn());
        }

        // What was committed is whole, and the next one is, too.
        JsonElement after = Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Name, "--json")))[0];
        Assert.Equal(0, _lab.TryExec(1, Xtlctl("verify")).ExitCode);
        _ = await RestoredAsync(after);
    }

    [Fact]
    public async Task A_process_that_is_killed_when_it_asks_a_guest_to_suspend_leaves_the_guest_running()
    {
        // The guardian is ready long before the guest has suspended.
        string domid = _lab.Exec(1, "xl", "domid", Name).Trim();
        string kill = $$"""
            xtlctl watch --domain {{Name}} --every 1ms {{string.Join(' ', [.. Patience, .. Where])}} & p=$!
            xenstore-watch /local/domain/{{domid}}/control/shutdown | while read -r node; do
                [ "$(xenstore-read "$node")" != suspend ] || { kill -9 $p; break; }
            done & w=$!
            wait $p || true
            kill $(pgrep -x xenstore-watch); wait $w
            """;
        for (int round = 0; round < Lab.Rounds(3); round++)
        {
            Outcome killed = _lab.TryExec(1, "sh", "-c", kill);
            long step = Step.Parse(_lab.Log(1, Name))[^1].Number;
            await _lab.StepBeyondAsync(1, Name, step + 5);
            await Lab.WaitForAsync(
                () => _lab.TryExec(1, "pgrep", "-f", "[x]tlctl guard").ExitCode == 1 ? "" : null, "the guardian to end");
            Assert.False(DirtyTests.LogDirtyIsOn(), killed.ToString());
        }

        _ = await RestoredAsync(Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Name, "--json")))[0]);
    }

    [Fact]
    public async Task A_full_store_fails_the_checkpoint_and_nothing_else()
    {
        _lab.Exec(1, "sh", "-c", $"mkdir -p {Folder}/small && mount -t tmpfs -o size=4m none {Folder}/small");
        try
        {
            Outcome outcome = _lab.TryExec(
                1, "xtlctl", "checkpoint", "--domain", Name, "--store", $"{Folder}/small/store", "--state", $"{Folder}/state");
            Assert.Equal(1, outcome.ExitCode);
            Assert.Contains("No space left", outcome.Error, StringComparison.Ordinal);
            Assert.False(DirtyTests.LogDirtyIsOn());
        }
        finally
        {
            _lab.Exec(1, "umount", $"{Folder}/small");
        }

        JsonElement next = Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Name, "--json")))[0];
        Assert.Equal("full", MemoryKind(next));
        _ = await RestoredAsync(next);
    }

    [Fact]
    public async Task A_log_that_xl_save_took_makes_the_next_checkpoint_a_full_one_that_says_so()
    {
        using var watch = _lab.Start(
            ["exec", "1", "--", .. Xtlctl("watch", "--domain", Name, "--every", "4s", "--json")]);
        Task<string> output = watch.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> error = watch.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await Lab.WaitForAsync(
            () => _lab.TryExec(1, Xtlctl("show", "1")).ExitCode == 0 ? "" : null, "the first checkpoint");
        _lab.Exec(1, "xl", "save", "-c", Name, $"{Folder}/stolen.xl");

        // Checkpoints that meet the suspension by 'xl save' fail and say so; the one that counts comes after it.
        int before = Kept();
        await Lab.WaitForAsync(() => Kept() > before + 1 ? "" : null, "two checkpoints after 'xl save'");
        _lab.Exec(1, "pkill", "-INT", "-f", "[x]tlctl watch");
        await watch.WaitForExitAsync(TestContext.Current.CancellationToken);
        string told = await error;
        Assert.True(told.Contains("switched off by another program", StringComparison.Ordinal), told);
        string taken = await output;
        JsonElement next = Assert.Single(
            Taken(taken), t => FullBecause(t)?.Contains("switched off", StringComparison.Ordinal) == true);
        Assert.Equal(0, _lab.TryExec(1, Xtlctl("verify")).ExitCode);
        _ = await RestoredAsync(next);
    }

    [Fact]
    public async Task A_guest_that_never_acknowledges_is_named_and_all_run_on()
    {
        // Its kernel does not listen for requests.
        const string Deaf = "deaf";
        _lab.Do(
            "guest", "1", "create", Deaf, "initcall_blacklist=xen_setup_shutdown_event", "stepper.pages=256",
            "stepper.period=1000");
        try
        {
            Outcome outcome = _lab.TryExec(
                1, ["xtlctl", "checkpoint", .. Where, "--domain", Name, "--domain", Deaf, "--suspend-timeout", "20s"]);
            Assert.Equal(1, outcome.ExitCode);
            Assert.Contains(Deaf, outcome.Error, StringComparison.Ordinal);
            Assert.Contains("did not acknowledge the request within 20 s", outcome.Error, StringComparison.Ordinal);
            foreach (string guest in (string[])[Name, Deaf])
            {
                await _lab.StepBeyondAsync(1, guest, Step.Parse(_lab.Log(1, guest))[^1].Number + 3);
            }

            // The request was taken back: the guest would suspend itself on it when it listens again.
            int domid = int.Parse(_lab.Exec(1, "xl", "domid", Deaf), CultureInfo.InvariantCulture);
            Assert.Equal("\n", _lab.Exec(1, "xenstore-read", $"/local/domain/{domid}/control/shutdown"));
            Assert.False(DirtyTests.LogDirtyIsOn());
        }
        finally
        {
            _lab.Do("guest", "1", "destroy", Deaf);
        }

        _ = await RestoredAsync(Taken(_lab.Exec(1, Xtlctl("checkpoint", "--domain", Name, "--json")))[0]);
    }

    [Fact]
    public void A_guest_that_cannot_answer_is_named_and_the_others_run_on()
    {
        // A paused guest answers nothing.
        Outcome outcome = _lab.TryExec(
            1, Xtlctl("checkpoint", "--domain", Name, "--domain", LabFixture.Pvh, "--memory-only"));
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains(LabFixture.Pvh, outcome.Error, StringComparison.Ordinal);
        Assert.Contains("is paused", outcome.Error, StringComparison.Ordinal);

        Assert.DoesNotContain("--s", _lab.Exec(1, "xl", "list"), StringComparison.Ordinal);
        Step.AssertWhole(_lab.Log(1, Name));
    }

    private static string[] Xtlctl(string command, params string[] arguments) =>
        ["xtlctl", command, .. Where, .. command is "checkpoint" or "watch" ? Patience : [], .. arguments];

    // 'watch --json' prints one object after the other.
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

    private int Kept() => _lab.ExecJson(1, Xtlctl("checkpoints", "--json")).GetArrayLength();

    private static string Id(JsonElement taken) => taken.GetProperty("id").GetString()!;

    private static string? FullBecause(JsonElement taken) =>
        taken.GetProperty("domains")[0].GetProperty("fullBecause").GetString();

    private static string MemoryKind(JsonElement taken) => FullBecause(taken) is null ? "increment" : "full";

    private async Task<long> RestoredAsync(JsonElement checkpoint)
    {
        Step.AssertWhole(_lab.Log(1, Name));
        _lab.TryExec(1, "xl", "destroy", Name);
        int lines = _lab.Log(1, Name).Length;
        _lab.Exec(1, Xtlctl("restore", Id(checkpoint)));
        return await GoesOnAsync(lines);
    }

    // The number of the first step after the restore; its hash and those after it are the ones that they had before.
    private async Task<long> GoesOnAsync(int lines)
    {
        var before = Step.Parse(_lab.Log(1, Name).Take(lines)).GroupBy(s => s.Number)
            .ToDictionary(g => g.Key, g => g.First().Hash);
        List<Step> steps = await Lab.WaitForAsync(
            () => Step.Parse(_lab.Log(1, Name).Skip(lines)) is { Count: > 8 } s ? s : null,
            "the restored guest to go on");
        Step.AssertWhole(_lab.Log(1, Name));
        int known = 0;
        foreach (Step step in steps)
        {
            if (before.TryGetValue(step.Number, out string? hash))
            {
                Assert.True(hash == step.Hash, string.Create(
                    CultureInfo.InvariantCulture, $"step {step.Number} has another hash than before"));
                known++;
            }
        }

        Assert.True(known > 0, "no step was run before the restore as well");
        return steps[0].Number;
    }
}
