using System.Text.Json;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>The daemon in a real Dom0: its timer, and what its own end does to a guest.</summary>
public sealed class DaemonTests : IAsyncLifetime
{
    private const string Name = "served";
    private const string Folder = "/var/tmp/xtl-daemon";
    private const string Socket = $"{Folder}/control.sock";

    private const int Node = 1;

    // A daemon checkpoints all that run, and they would take most of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    private readonly Lab _lab = Lab.Shared;

    public async ValueTask InitializeAsync()
    {
        Array.ForEach(Others, o => _lab.Exec(Node, "xl", "pause", o));
        _lab.Do("guest", "1", "create", Name, "stepper.pages=1024", "stepper.write=64", "stepper.period=100");
        await _lab.StepBeyondAsync(Node, Name, 10);

        string excluded = string.Join(", ", Others.Select(o => $$"""{ "name": "{{o}}", "include": false }"""));
        _lab.Exec(Node, "sh", "-c", $$"""
            mkdir -p {{Folder}}
            cat >{{Folder}}/config.json <<'END'
            { "node": "box", "store": "{{Folder}}/store", "state": "{{Folder}}/state", "controlSocket": "{{Socket}}",
              "basicInterval": "2s", "suspendTimeout": "2m", "allowedPause": "20ms", "backgroundShare": 1,
              "domains": [{{excluded}}] }
            END
            """);
    }

    public ValueTask DisposeAsync()
    {
        _lab.Run("exec", "1", "--", "pkill", "-TERM", "-x", "xtlckptd");
        _lab.Exec(Node, "sh", "-c", "while pgrep -x xtlckptd >/dev/null; do sleep 0.2; done");
        _lab.Do("guest", "1", "destroy", Name);
        _lab.Exec(Node, "rm", "-rf", Folder);
        Array.ForEach(Others, o => _lab.Exec(Node, "xl", "unpause", o));
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_daemon_that_is_killed_at_any_moment_finds_the_guest_running_and_goes_on()
    {
        var random = new Random(7);
        await StartAsync();
        for (int round = 0; round < Lab.Rounds(3); round++)
        {
            long epoch = await NextCheckpointAsync(0);
            await Task.Delay(TimeSpan.FromSeconds(4 * random.NextDouble()), TestContext.Current.CancellationToken);

            // Every other time the guardian goes as well, before it can undo anything: the next daemon has to.
            string[] oldest = round % 2 == 0 ? [] : ["-o"];
            _lab.Exec(Node, ["pkill", "-KILL", .. oldest, "-x", "xtlckptd"]);
            await Lab.WaitForAsync(
                () => _lab.TryExec(Node, "pgrep", "-x", "xtlckptd").ExitCode == 1 ? "" : null, "the processes to end");
            await StartAsync();
            long step = Step.Parse(_lab.Log(Node, Name))[^1].Number;
            await _lab.StepBeyondAsync(Node, Name, step + 5);
            Assert.True(await NextCheckpointAsync(epoch) > epoch);
        }

        _lab.Exec(Node, "pkill", "-TERM", "-o", "-x", "xtlckptd");
        await Lab.WaitForAsync(
            () => _lab.TryExec(Node, "pgrep", "-x", "xtlckptd").ExitCode == 1 ? "" : null, "the daemon to end");
        Assert.False(DirtyTests.LogDirtyIsOn(Node));
        Assert.DoesNotContain("--s", _lab.Exec(Node, "xl", "list"), StringComparison.Ordinal);
        Assert.Contains("whole", _lab.Exec(Node, "xtlctl", "verify", "--store", $"{Folder}/store"), StringComparison.Ordinal);
        Step.AssertWhole(_lab.Log(Node, Name));
    }

    [Fact]
    public async Task A_guest_comes_back_through_the_daemon_from_a_checkpoint_of_its_timer()
    {
        await StartAsync();
        long epoch = await NextCheckpointAsync(await NextCheckpointAsync(0));
        string id = Newest().Id;
        _lab.Exec(Node, "xl", "destroy", Name);
        int lines = _lab.Log(Node, Name).Length;
        Dictionary<long, string> before = Step.Parse(_lab.Log(Node, Name)).GroupBy(s => s.Number).ToDictionary(g => g.Key, g => g.First().Hash);
        _lab.Exec(Node, "xtlctl", "restore", "--socket", Socket, id, "--domain", Name);
        List<Step> after = await Lab.WaitForAsync(
            () => Step.Parse(_lab.Log(Node, Name).Skip(lines)) is { Count: > 8 } s ? s : null, "the guest to go on");
        Assert.Contains(after, s => before.ContainsKey(s.Number));
        Assert.All(after.Where(s => before.ContainsKey(s.Number)), s => Assert.Equal(before[s.Number], s.Hash));
        Step.AssertWhole(_lab.Log(Node, Name));

        // The one that came back is in the next checkpoint again.
        Assert.True(await NextCheckpointAsync(epoch) > epoch);
    }

    private async Task StartAsync()
    {
        _lab.Exec(Node, "sh", "-c", $"setsid xtlckptd --config {Folder}/config.json >>{Folder}/log 2>&1 </dev/null &");
        await Lab.WaitForAsync(
            () => _lab.TryExec(Node, "xtlctl", "node", "--socket", Socket).ExitCode == 0 ? "" : null, "the daemon to serve");
    }

    private async Task<long> NextCheckpointAsync(long epoch)
    {
        await Lab.WaitForAsync(() => Newest().Epoch > epoch ? "" : null, $"a checkpoint after epoch {epoch}");
        return Newest().Epoch;
    }

    private (long Epoch, string Id) Newest()
    {
        JsonElement newest = _lab.ExecJson(Node, "xtlctl", "checkpoints", "--json", "--socket", Socket).EnumerateArray()
            .OrderBy(c => c.GetProperty("epoch").GetInt64()).LastOrDefault();
        return newest.ValueKind == JsonValueKind.Undefined
            ? (0, "")
            : (newest.GetProperty("epoch").GetInt64(), newest.GetProperty("id").GetString()!);
    }
}
