using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A cluster under a virtual clock: hosts, the network between them, and all that happens by chance. The same seed gives the same
/// run.</summary>
internal sealed class SimulatedWorld : IDisposable
{
    // Of what happened, for whoever looks at a run that failed.
    private const int NotesKept = 400;

    // Of payments that went wrong.
    private const int PaymentsTold = 8;

    private readonly Queue<string> _notes = new();
    private readonly List<Guid> _domains = [];
    private readonly long _money;
    private readonly double _diskFailures;
    private readonly List<(long At, Guid From, Guid To)> _payments = [];
    private int _lives;

    internal SimulatedWorld(SimulationPlan plan)
    {
        Plan = plan;
        Random = new Random(plan.Seed);
        _diskFailures = Random.Next(3) == 0 ? 0.05 : 0;
        CheckpointsKept = Random.Next(3) == 0 ? int.MaxValue : 1 + Random.Next(8);
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
                var domain = new SimulatedDomain(new Guid(octets), new Account(1_000, null), NextLife());
                _domains.Add(domain.Uuid);
                _money += domain.Account.Money;
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

    /// <summary>The checkpoints that a store keeps whatever happens; of older ones it keeps those that a recovery may need.</summary>
    internal int CheckpointsKept { get; }

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

    /// <summary>The number of a payment that is made now.</summary>
    internal long NextPayment(Guid from, Guid to)
    {
        _payments.Add((Now, from, to));
        return _payments.Count - 1;
    }

    internal bool DiskFails() => !IsEnding && _diskFailures > 0 && Random.NextDouble() < _diskFailures;

    internal void Note(string what)
    {
        Plan.Teller?.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Now,10} {what}"));
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
    internal long MoneyMissing => _money - Hosts.Where(h => h.IsUp).SelectMany(h => h.Domains).Sum(d => d.Account.Money);

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

        RequireEachPaymentOnce(running);
        if (MoneyMissing != 0)
        {
            throw new SimulationException($"The domains have {_money - MoneyMissing}, and had {_money}.");
        }
    }

    // What a domain remembers as made, its receiver remembers as taken, once, and nobody took what nobody made.
    private void RequireEachPaymentOnce(SimulatedDomain[] running)
    {
        Payment[] all = [.. running.SelectMany(d => d.Account.Payments)];
        ILookup<long, Payment> taken = all.Where(p => !p.IsMade).ToLookup(p => p.Number);
        HashSet<long> made = [.. all.Where(p => p.IsMade).Select(p => p.Number)];
        string[] wrong =
        [
            .. made.Where(p => !taken.Contains(p)).Select(p => Told(p, "lost")),
            .. taken.Where(p => p.Count() > 1).Select(p => Told(p.Key, "taken twice")),
            .. taken.Where(p => !made.Contains(p.Key)).Select(p => Told(p.Key, "taken and not made")),
        ];
        if (wrong.Length > 0)
        {
            throw new SimulationException(
                $"The domains have {_money - MoneyMissing}, and had {_money}; payments: {string.Join("; ", wrong.Take(PaymentsTold))}");
        }
    }

    private string Told(long payment, string what)
    {
        (long at, Guid from, Guid to) = _payments[(int)payment];
        return string.Create(CultureInfo.InvariantCulture, $"{payment} from {from} to {to} at {at} is {what}");
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

    /// <summary>Where what happens is printed; null for nowhere.</summary>
    public TextWriter? Teller { get; init; }
}
