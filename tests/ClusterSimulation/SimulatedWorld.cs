using Microsoft.Extensions.Logging.Abstractions;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A cluster under a virtual clock: hosts, the network between them, and all that happens by chance. The same seed gives the same
/// run.</summary>
internal sealed class SimulatedWorld : IDisposable
{
    // Of what happened, for whoever looks at a run that failed.
    private const int NotesKept = 400;

    private readonly Queue<string> _notes = new();
    private readonly List<Guid> _domains = [];
    private readonly long _money;
    private readonly double _diskFailures;
    private int _lives;

    internal SimulatedWorld(SimulationPlan plan)
    {
        Plan = plan;
        Random = new Random(plan.Seed);
        _diskFailures = Random.Next(3) == 0 ? 0.05 : 0;
        int nodes = 2 + Random.Next(4);
        BasicInterval = 40_000 + Random.Next(200_000);
        Latency = 100 + Random.Next(10_000);
        Hosts = [.. Enumerable.Range(0, nodes).Select(i => new SimulatedHost(this, $"{(char)('a' + i)}"))];
        Span<byte> octets = stackalloc byte[16];
        foreach (SimulatedHost host in Hosts)
        {
            for (int i = Random.Next(4); i > 0 || (host == Hosts[^1] && _domains.Count < 2); i--)
            {
                Random.NextBytes(octets);
                var domain = new SimulatedDomain(new Guid(octets), 1_000, NextLife());
                _domains.Add(domain.Uuid);
                _money += domain.Money;
                host.Add(domain);
            }
        }
    }

    internal SimulationPlan Plan { get; }

    internal Random Random { get; }

    internal VirtualClock Clock { get; } = new();

    internal ChannelEventLog Log { get; } = new(NullLogger.Instance);

    internal IReadOnlyList<SimulatedHost> Hosts { get; }

    /// <summary>The mean time between basic checkpoints, in microseconds.</summary>
    internal long BasicInterval { get; }

    /// <summary>The most that a message takes, in microseconds.</summary>
    internal int Latency { get; }

    internal long Now => Clock.Now;

    /// <summary>True once no more faults come.</summary>
    internal bool IsEnding { get; set; }

    /// <summary>True once the domains send no more.</summary>
    internal bool IsQuiet { get; set; }

    internal IEnumerable<string> Notes => _notes;

    internal SimulatedHost Host(string name) => Find(name) ?? throw new SimulationException($"There is no host '{name}'.");

    internal SimulatedHost? Find(string name) => Hosts.FirstOrDefault(h => h.Name == name);

    internal void After(long microseconds, Action what) => Clock.After(microseconds, what);

    internal long Delay() => 50 + Random.Next(Latency);

    internal long NextBasic() => (BasicInterval / 2) + Random.NextInt64(BasicInterval);

    internal int NextLife() => ++_lives;

    internal bool DiskFails() => !IsEnding && _diskFailures > 0 && Random.NextDouble() < _diskFailures;

    internal void Note(string what)
    {
        if (Plan.Tells)
        {
            Console.WriteLine($"{Now,10} {what}");
        }

        _notes.Enqueue($"{Now,10} {what}");
        if (_notes.Count > NotesKept)
        {
            _ = _notes.Dequeue();
        }
    }

    /// <summary>A domain runs: it acts from time to time, as long as it is this one.</summary>
    internal void Schedule(SimulatedHost host, SimulatedDomain domain) => After(Random.Next(20_000), () =>
    {
        if (host.Find(domain.Uuid) == domain && !domain.IsPaused)
        {
            host.Act(domain, _domains, !IsQuiet);
            Schedule(host, domain);
        }
    });

    /// <summary>No domain runs twice.</summary>
    internal void RequireOnce()
    {
        foreach (IGrouping<Guid, SimulatedHost> homes in Hosts.Where(h => h.IsUp)
            .SelectMany(h => h.Domains.Where(d => !d.IsPaused), (host, domain) => (Host: host, domain.Uuid))
            .GroupBy(pair => pair.Uuid, pair => pair.Host))
        {
            if (homes.Skip(1).Any())
            {
                throw new SimulationException(
                    $"Domain {homes.Key} runs on {string.Join(" and on ", homes.Select(h => h.Name))}.");
            }
        }
    }

    /// <summary>What a node tells its peers as durable is in its store.</summary>
    internal static void RequireDurable(SimulatedDaemon daemon, IEnumerable<SimulatedCheckpoint> line)
    {
        long stored = line.Select(c => c.Index).DefaultIfEmpty().Max();
        if (daemon.Host.Disk.Record.Pending is null && daemon.Core.DurableIndex > Math.Max(stored, daemon.Host.Disk.Record.Index))
        {
            throw new SimulationException(
                $"{daemon.Host.Name} tells the durable index {daemon.Core.DurableIndex}, and its store has {stored}.");
        }
    }

    /// <summary>The money that is on its way, or lost; below 0 where some was made.</summary>
    internal long MoneyMissing => _money - Hosts.Where(h => h.IsUp).SelectMany(h => h.Domains).Sum(d => d.Money);

    /// <summary>Every domain runs once, and the money is all there.</summary>
    internal void RequireWhole()
    {
        SimulatedDomain[] running = [.. Hosts.Where(h => h.IsUp).SelectMany(h => h.Domains)];
        if (running.FirstOrDefault(d => d.IsPaused) is { } paused)
        {
            throw new SimulationException($"Domain {paused.Uuid} is paused for good.");
        }

        if (_domains.FirstOrDefault(d => !running.Any(r => r.Uuid == d)) is var gone && gone != Guid.Empty)
        {
            throw new SimulationException($"Domain {gone} runs nowhere.");
        }

        if (MoneyMissing != 0)
        {
            throw new SimulationException($"The domains have {_money - MoneyMissing}, and had {_money}.");
        }
    }

    public void Dispose()
    {
        foreach (SimulatedHost host in Hosts)
        {
            host.Dispose();
        }
    }
}

/// <summary>What decides a run.</summary>
/// <param name="Seed">Decides what happens by chance.</param>
internal sealed record SimulationPlan(int Seed)
{
    /// <summary>How many faults come at most.</summary>
    public int Faults { get; init; } = int.MaxValue;

    /// <summary>True where what happens is printed.</summary>
    public bool Tells { get; init; }
}
