using System.Globalization;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>One run: a cluster under load, faults of all kinds, and at the end a cluster that is whole again, with all money.</summary>
internal sealed class Simulation : IDisposable
{
    // Virtual time, in microseconds.
    private const long FaultsLast = 2_000_000;
    private const long Attempt = 4_000_000;
    private const long Settling = 1_500_000;

    // Every recovery needs one attempt, and one more for each thing that has to be waited for.
    private const int Attempts = 12;
    private const int SlowestArrival = 40;

    private readonly SimulatedWorld _world;
    private readonly List<SimulatedLeader> _leaders = [];
    private readonly HashSet<string> _takenOut = new(StringComparer.Ordinal);
    private int _faults;

    // What the last refusals named.
    private string? _to;
    private long? _at;

    internal Simulation(SimulationPlan plan) => _world = new SimulatedWorld(plan);

    /// <summary>What came of it.</summary>
    internal SimulationOutcome Outcome { get; private set; } = new();

    internal IEnumerable<string> Notes => _world.Notes;

    internal long Events => _world.Clock.Events;

    /// <summary>Runs to the end.</summary>
    /// <exception cref="SimulationException">Something happened that must never happen.</exception>
    internal void Run()
    {
        AnyProtocol.Choose(_world.Plan.Seed);
        foreach (SimulatedHost host in _world.Hosts)
        {
            host.StartDaemon();
        }

        // Before it has a checkpoint a node has nothing to go back to.
        while (_world.Hosts.Any(h => h.Daemon is not { Core.DurableIndex: > 0 }))
        {
            RunUntil(_world.Now + 10_000);
        }

        _world.After(_world.Random.Next(200_000), Fault);
        RunUntil(_world.Now + FaultsLast);
        End();
        _world.IsQuiet = true;

        // What is on its way arrives, however slow the links are.
        for (int i = 0; i < SlowestArrival && _world.MoneyMissing > 0; i++)
        {
            RunUntil(_world.Now + Settling);
        }

        _world.RequireWhole();
        Judge();
    }

    public void Dispose() => _world.Dispose();

    private static bool IsReady(SimulatedHost host) => host.Daemon is { IsReady: true };

    private void RunUntil(long time)
    {
        while (_world.Clock.Step(time))
        {
        }
    }

    private void Fault()
    {
        if (_world.IsEnding || _faults >= _world.Plan.Faults)
        {
            return;
        }

        _faults++;
        SimulatedHost host = _world.Hosts[_world.Random.Next(_world.Hosts.Count)];
        switch (_world.Random.Next(12))
        {
            case 0 or 1:
                _world.Note($"fault: the daemon of {host.Name} is killed");
                host.KillDaemon();
                break;
            case 2:
                _world.Note($"fault: the daemon of {host.Name} is stopped");
                host.StopDaemon();
                break;
            case 3:
                _world.Note($"fault: {host.Name} dies");
                host.SwitchOff(forGood: false);
                break;
            case 4:
                LoseForGood(host);
                break;
            case 5:
                _world.Note($"fault: {host.Name} is {(host.IsCutOff ? "reached again" : "cut off")}");
                host.IsCutOff = !host.IsCutOff;
                break;
            case 6:
                _world.Note("fault: a leader is killed");
                _leaders.ForEach(leader => leader.Die());
                _leaders.Clear();
                break;
            case 7 or 8:
                _world.Note($"{host.Name} comes back");
                host.SwitchOn();
                host.StartDaemon();
                break;
            default:
                Lead();
                break;
        }

        _world.After(1_000 + _world.Random.Next(_world.Random.Next(3) == 0 ? 20_000 : 200_000), Fault);
    }

    // At least one host stays.
    private void LoseForGood(SimulatedHost host)
    {
        if (!host.IsLost && _world.Hosts.Count(h => !h.IsLost) > 1)
        {
            _world.Note($"fault: {host.Name} is lost for good");
            host.SwitchOff(forGood: true);
            Outcome.Lost++;
        }
    }

    // An operator who may be wrong: names a node that lives, or leaves out one that is lost.
    private void Lead()
    {
        SimulatedHost[] told = [.. _world.Hosts.Where(h => !_takenOut.Contains(h.Name))];
        string[] lost = [.. told.Where(h => h.IsLost).Select(h => h.Name)];
        if (_world.Random.Next(8) == 0)
        {
            SimulatedHost any = told[_world.Random.Next(told.Length)];
            lost = [.. lost.Append(any.Name).Distinct()];
            if (any is { IsUp: true, Daemon: null } || any.IsCutOff)
            {
                // Its domains run, and nobody knows: only a fence could.
                return;
            }

            if (any is { IsUp: false })
            {
                LoseForGood(any);
            }
        }

        string? to = lost.Length > 0 && _world.Random.Next(2) == 0 ? told[_world.Random.Next(told.Length)].Name : null;
        long? at = _world.Random.Next(10) == 0 ? _world.Random.Next(8) : null;
        Lead(told, new RecoveryWish(lost, to, at, DestroysNewer: true), insists: _world.Random.Next(4) == 0);
    }

    private void Lead(IReadOnlyList<SimulatedHost> told, RecoveryWish wish, bool insists, Action<string?>? ended = null)
    {
        _world.Note($"a leader begins: lost {string.Join(", ", wish.Lost)} to {wish.To} at {wish.At}");
        var leader = new SimulatedLeader(_world, told, wish, insists, why =>
        {
            _world.Note($"a leader ends: {why ?? "recovered"}");
            Outcome.Recoveries += why is null ? 1 : 0;
            ended?.Invoke(why);
        });
        _leaders.Add(leader);
        leader.Start();
    }

    // Everything that can come back does, and an operator who does what is said has a way to a cluster that is whole.
    private void End()
    {
        _world.Note("no more faults");
        _world.IsEnding = true;
        _leaders.ForEach(leader => leader.Die());
        foreach (SimulatedHost host in _world.Hosts)
        {
            host.IsCutOff = false;
            host.SwitchOn();
            host.StartDaemon();
        }

        string? why = null;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            RunUntil(_world.Now + Settling);
            if (IsWhole())
            {
                return;
            }

            bool over = false;
            foreach (Match gone in Regex.Matches(why ?? "", "Take ([a-z](?:, [a-z])*) out of the nodes"))
            {
                _takenOut.UnionWith(gone.Groups[1].Value.Split(", "));
            }

            RecoveryWish wish = Advised(why ?? "");
            SimulatedHost[] told = [.. _world.Hosts.Where(h => !_takenOut.Contains(h.Name))];
            Lead(
                told, wish, insists: false,
                outcome => (over, why) = (true, outcome));
            for (long until = _world.Now + Attempt; !over && _world.Now < until;)
            {
                RunUntil(Math.Min(until, _world.Now + 50_000));
            }

            why = over ? why : "the leader does not end";
        }

        RunUntil(_world.Now + Settling);
        if (!IsWhole())
        {
            throw new SimulationException($"There is no way to a cluster that is whole: {why ?? "the nodes do not get ready"}");
        }
    }

    // An operator does what was said, until something else is.
    private RecoveryWish Advised(string why)
    {
        string[] named = [.. Regex.Matches(why, "--lost ([a-z])\\b").Select(m => m.Groups[1].Value).Where(name => _world.Host(name).IsLost)];
        _takenOut.ExceptWith(named);
        string[] lost = [.. _world.Hosts.Where(h => h.IsLost && !_takenOut.Contains(h.Name)).Select(h => h.Name)];
        (_to, _at) = why.Length == 0 ? (null, null) : (_to, _at);
        _to = Regex.Match(why, "--to ([a-z])\\b") is { Success: true } place ? place.Groups[1].Value : why.Contains("--to", StringComparison.Ordinal) ? null : _to;
        _at = Regex.Match(why, "--at is 0 to ([0-9]+)|'--at ([0-9]+)'") is { Success: true } line
            ? long.Parse(line.Groups[1].Value + line.Groups[2].Value, CultureInfo.InvariantCulture)
            : why.Contains("Name the line with --at", StringComparison.Ordinal)
                ? lost.Min(name => _world.Host(name).Disk.Store.Select(c => c.Index).DefaultIfEmpty().Max())
            : _at;
        return new RecoveryWish(lost, _to, _at, DestroysNewer: true);
    }

    private bool IsWhole()
    {
        SimulatedHost[] living = [.. _world.Hosts.Where(h => !h.IsLost)];
        if (!Array.TrueForAll(living, IsReady))
        {
            return false;
        }

        // Where they are for good, nobody names them any more.
        foreach (SimulatedHost host in living)
        {
            _takenOut.UnionWith(host.Daemon!.Describe().Settled);
        }

        int incarnation = living.Max(h => h.Daemon!.Core.Incarnation);
        return Array.TrueForAll(living, h => h.Daemon!.Core.Incarnation == incarnation)
            && _world.Hosts.Where(h => h.IsLost).All(
                h => living.Any(l => l.Disk.Record.Departures.Any(d => d.Node == h.Name)));
    }

    private void Judge()
    {
        foreach (SimulatedHost host in _world.Hosts)
        {
            host.StopDaemon();
        }

        if (TraceJudge.Judge(_world.Hosts) is not { } report)
        {
            return;
        }

        Outcome.Judged = true;
        Outcome.Records = report.Records;
        if (!report.Sound || report.Useless > 0)
        {
            throw new SimulationException(
                "The trace is not sound: " + string.Join("; ", report.Findings.Select(f => $"record {f.Record}: {f.Text}"))
                + (report.Useless > 0 ? $" {report.Useless} checkpoints are useless." : ""));
        }
    }
}

/// <summary>What a run came to.</summary>
internal sealed record SimulationOutcome
{
    internal int Recoveries { get; set; }

    internal int Lost { get; set; }

    internal long Records { get; set; }

    /// <summary>True where the trace was judged.</summary>
    internal bool Judged { get; set; }
}
