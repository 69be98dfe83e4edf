using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>Guests with several virtual processors, and a restored guest's clocks. The stepper takes each step on the next
/// processor, so one that does not run lets it stand still. Explicit (<c>-explicit only</c>): several processors on the lab's one
/// take a machine that does nothing else.</summary>
public sealed partial class VcpuTests : IAsyncLifetime
{
    private const string Name = "cpus";
    private const string Folder = "/var/tmp/xtl-cpus";

    private static readonly string[] Where = ["--store", $"{Folder}/store", "--state", $"{Folder}/state"];

    // The other guests would take most of the node's one processor.
    private static readonly string[] Others = [LabFixture.Checksum, LabFixture.Pv, LabFixture.Pvh];

    private readonly Lab _lab = Lab.Shared;

    public ValueTask InitializeAsync()
    {
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "pause", o));
        _lab.Exec(1, "mkdir", "-p", Folder);
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        _ = _lab.Run("guest", "1", "destroy", Name);
        _lab.Exec(1, "rm", "-rf", Folder);
        Array.ForEach(Others, o => _lab.Exec(1, "xl", "unpause", o));
        return ValueTask.CompletedTask;
    }

    [Theory(Explicit = true)]
    [InlineData("pvh", 1)]
    [InlineData("pv", 4)]
    public async Task A_guest_goes_on_on_all_of_its_processors(string type, int vcpus)
    {
        await CreateAsync(type, vcpus);
        string id = Checkpoint();
        await RestoredAsync(id, vcpus);
    }

    // XTL_VCPU_ROUNDS=20 is the long form.
    [Fact(Explicit = true)]
    public async Task A_guest_with_four_processors_survives_one_checkpoint_and_restore_after_the_other()
    {
        int rounds = int.Parse(Environment.GetEnvironmentVariable("XTL_VCPU_ROUNDS") ?? "2", CultureInfo.InvariantCulture);
        await CreateAsync("pvh", 4);
        for (int round = 0; round < rounds; round++)
        {
            string id = Checkpoint();
            await RestoredAsync(id, 4);
            _lab.Exec(1, "rm", "-rf", Folder);
            TestContext.Current.SendDiagnosticMessage($"round {round + 1} of {rounds}: {Lines().Count} lines, whole");
        }
    }

    [Fact(Explicit = true)]
    public async Task Processors_that_come_and_go_between_checkpoints_are_restored_as_they_were()
    {
        await CreateAsync("pvh", 4);
        var taken = new List<(string Id, int Vcpus)>();
        foreach (int vcpus in (int[])[4, 2, 1, 3])
        {
            _lab.Exec(1, "xl", "vcpu-set", Name, $"{vcpus}");
            await OnAsync(vcpus, 0);
            taken.Add((Checkpoint(), vcpus));
        }

        foreach ((string id, int vcpus) in (IEnumerable<(string, int)>)[taken[1], taken[2], taken[3], taken[0]])
        {
            await RestoredAsync(id, vcpus);
        }

        // What was restored can be given more and fewer again.
        await RestoredAsync(taken[2].Id, 1);
        foreach (int vcpus in (int[])[4, 2])
        {
            _lab.Exec(1, "xl", "vcpu-set", Name, $"{vcpus}");
            await OnAsync(vcpus, Lines().Count);
        }
    }

    [Fact(Explicit = true)]
    public async Task The_wall_clock_of_a_restored_guest_is_now_and_its_monotonic_clock_goes_on()
    {
        await CreateAsync("pvh", 2);
        (long before, _) = Clocks(Lines())[^1];
        long ahead = before - Now();
        string id = Checkpoint();
        (_, long monotonic) = Clocks(Lines())[^1];
        _lab.Exec(1, "xl", "destroy", Name);

        // The older the checkpoint, the plainer whose time the guest has.
        await Task.Delay(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        List<string> after = await RestoredAsync(id, 2);
        long now = Now();
        List<(long Wall, long Monotonic)> clocks = Clocks(after);
        long age = now - before, behind = now + ahead - clocks[^1].Wall;
        Assert.True(Math.Abs(behind) < age / 2, $"the guest's clock is {behind} ms behind, its checkpoint {age} ms old");

        // For the guest no time has passed: its timers do not fire all at once.
        Assert.True(clocks[0].Monotonic - monotonic < age / 2, $"the monotonic clock has gone from {monotonic} to {clocks[0].Monotonic}");
        Assert.All(clocks.Zip(clocks.Skip(1)), pair => Assert.True(pair.First.Monotonic <= pair.Second.Monotonic, $"{pair}"));
    }

    private async Task CreateAsync(string type, int vcpus)
    {
        // Warnings of the kernel are printed, so that what it says of clocks and of processors that stand still is seen.
        _lab.Do(
            "guest", "1", "create", Name, "--type", type, "--vcpus", $"{vcpus}", "--memory", "128", "loglevel=5",
            "stepper.pages=256", "stepper.write=32", "stepper.period=200", "stepper.cpus=1", "stepper.clock=1");
        await OnAsync(vcpus, 0);
    }

    private string Checkpoint()
    {
        Step.AssertWhole([.. Lines()]);
        JsonElement taken = _lab.ExecJson(
            1, ["xtlctl", "checkpoint", .. Where, "--domain", Name, "--suspend-timeout", "2m", "--background-share", "1", "--json"]);
        return taken.GetProperty("id").GetString()!;
    }

    // Returns what the guest has printed since.
    private async Task<List<string>> RestoredAsync(string id, int vcpus)
    {
        _ = _lab.TryExec(1, "xl", "destroy", Name);
        List<string> before = Lines();
        _lab.Exec(1, ["xtlctl", "restore", .. Where, id]);
        await OnAsync(vcpus, before.Count);
        List<string> after = [.. Lines().Skip(before.Count)];
        ILookup<long, string> known = Step.Parse(before).ToLookup(s => s.Number, s => s.Hash);
        List<Step> steps = Step.Parse(after);
        Assert.Contains(steps, s => known.Contains(s.Number));
        Assert.All(steps, s => Assert.True(!known.Contains(s.Number) || known[s.Number].Contains(s.Hash), $"{s}"));
        return after;
    }

    // Waits until the guest has gone round so many processors twice, and no other.
    private async Task OnAsync(int vcpus, int skip)
    {
        string[] wanted = [.. Enumerable.Range(0, vcpus).Select(c => $"cpu {c} of {vcpus}")];
        await Lab.WaitForAsync(
            () =>
            {
                // A boot has warnings of its own.
                List<string> lines = [.. Lines().Skip(skip).SkipWhile(l => skip == 0 && !l.StartsWith("step ", StringComparison.Ordinal))];
                Step.AssertWhole([.. lines]);
                AssertNoAlarm(lines);
                string[] cpus = [.. lines.Where(l => l.StartsWith("cpu ", StringComparison.Ordinal)).TakeLast(2 * vcpus)];
                return cpus.Length == 2 * vcpus && cpus.Order().SequenceEqual(wanted.Concat(wanted).Order()) ? "" : null;
            },
            $"the guest to work on {vcpus} processors");
    }

    private static void AssertNoAlarm(IEnumerable<string> lines) => Assert.DoesNotContain(lines, l => Alarm().IsMatch(l));

    private static List<(long Wall, long Monotonic)> Clocks(IEnumerable<string> lines) =>
        [.. lines.Select(l => Clock().Match(l)).Where(m => m.Success).Select(m => (
            long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture), long.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture)))];

    private List<string> Lines() => [.. _lab.Log(1, Name).Select(l => l.TrimEnd('\r'))];

    private long Now() => long.Parse(_lab.Exec(1, "date", "+%s%3N"), CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^clock (\d+) (\d+)$")]
    private static partial Regex Clock();

    // What Linux says where a processor or the time seems to stand still or to jump, and where something is badly wrong.
    [GeneratedRegex("lockup|stall|blocked for more than|unstable|time jump|hrtimer: interrupt took|Call Trace|BUG|WARNING|Oops|panic")]
    private static partial Regex Alarm();
}
