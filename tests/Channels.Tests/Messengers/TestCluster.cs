using System.Diagnostics;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Messengers of several nodes in one process, over loopback TCP that is cut at random.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    /// <summary>What hangs is found, not measured: no test depends on this time.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly Random _random;
    private readonly long _money;
    private readonly int _settlesOneIn;
    private int _incarnation;

    internal TestCluster(string protocol, int nodes, int seed, int banks = 2)
    {
        Protocol = protocol;
        _random = new Random(seed);

        // Else most failures come after it.
        _settlesOneIn = seed % 2 == 0 ? 4 : 60;
        Nodes = [];
        for (int i = 0; i < nodes; i++)
        {
            Nodes.Add(new TestNode(this, $"node{i}", (seed * 100) + i, banks));
        }

        _money = Nodes.Sum(node => node.Money);
    }

    internal DirectoryInfo Folder { get; } = Directory.CreateTempSubdirectory("channels-test-");

    internal Guid Id { get; } = Guid.NewGuid();

    internal string Protocol { get; }

    /// <summary>Those that live.</summary>
    internal List<TestNode> Nodes { get; }

    internal IEnumerable<TestNode> Members => Nodes.Concat(Lost);

    internal long WindowBytes { get; init; } = 4 << 10;

    /// <summary>Some frames wait for a link without room, and then all do.</summary>
    internal long WaitingBytes { get; init; } = FrameBatch.MaxFrame + 2048;

    internal long HeldBytes { get; init; } = 8 << 10;

    internal async Task StartAsync()
    {
        foreach (TestNode node in Nodes)
        {
            await node.StartAsync();
        }
    }

    internal Guid AnyOther(Random random, Bank bank)
    {
        while (true)
        {
            TestNode node = Nodes[random.Next(Nodes.Count)];
            Bank other = node.Banks[random.Next(node.Banks.Length)];
            if (other != bank)
            {
                return other.Id;
            }
        }
    }

    /// <summary>Guests run, checkpoints begin, connections are cut.</summary>
    internal async Task LiveAsync(int events)
    {
        foreach (TestNode node in Nodes)
        {
            node.RunGuests();
        }

        for (int i = 0; i < events; i++)
        {
            await Task.Delay(_random.Next(8));
            if (_random.Next(_settlesOneIn) == 0 && Host?.Messenger.ToSettle is { } settled)
            {
                Departures = [.. Departures.Select(d => d with { Settled = d.Settled || d.Node == settled })];
                Host.Messenger.Settle(settled);
                Settled++;
            }

            TestNode node = Nodes[_random.Next(Nodes.Count)];
            switch (_random.Next(4))
            {
                case 0:
                    node.Proxy.Cut();
                    break;
                case 1 when _random.Next(4) == 0:
                    await node.RestartAsync();
                    break;
                default:
                    _ = node.Messenger.Tick(CheckpointCause.Basic);
                    break;
            }
        }
    }

    /// <summary>Guests run on and nothing else happens, until something has come so many times.</summary>
    internal async Task ComeAsync(int times)
    {
        var patience = Stopwatch.StartNew();
        for (; times > 0; times--)
        {
            long before = Nodes.Sum(node => node.Delivered);
            while (Nodes.Sum(node => node.Delivered) == before)
            {
                Nodes.ForEach(node => node.RequireNoErrors());
                Assert.True(patience.Elapsed < Patience, "nothing comes any more");
                await Task.Delay(1);
            }
        }
    }

    /// <summary>Some nodes fail, some of these with their process; all go through the recovery.</summary>
    internal async Task RecoverAsync()
    {
        foreach (TestNode node in Nodes)
        {
            node.StopGuests();
        }

        bool[] failed = [.. Nodes.Select(_ => _random.Next(3) == 0)];
        failed[_random.Next(failed.Length)] = true;
        bool[] killed = [.. failed.Select(f => f && _random.Next(2) == 0)];
        for (int i = 0; i < Nodes.Count; i++)
        {
            if (killed[i])
            {
                await Nodes[i].KillAsync();
            }
        }

        for (int i = 0; i < Nodes.Count; i++)
        {
            if (!killed[i])
            {
                await QuiesceAsync(Nodes[i]);
            }
        }

        await GoBackAsync(failed, killed);
    }

    /// <summary>Nodes are lost for good, and their guests go on on another one.</summary>
    /// <param name="count">How many, together.</param>
    /// <returns>The batches that were delivered to them, and by them, once more.</returns>
    internal async Task<long> LoseAsync(int count = 1)
    {
        foreach (TestNode node in Nodes)
        {
            node.StopGuests();
        }

        for (; count > 0; count--)
        {
            TestNode lost = Nodes[_random.Next(Nodes.Count)];
            for (int ahead = _random.Next(7); ahead > 0; ahead--)
            {
                // Others have not reached its line, and survive.
                _ = lost.Messenger.Tick(CheckpointCause.Basic);
                await lost.StopCheckpointsAsync();
            }

            await lost.KillAsync();
            _ = Nodes.Remove(lost);
            Lost.Add(lost);
        }

        foreach (TestNode node in Nodes)
        {
            await QuiesceAsync(node);
        }

        Host = Nodes[_random.Next(Nodes.Count)];
        Departures = [.. Lost.Select(lost => new Departure(lost.Name, Host.Name, _incarnation + 1))];
        return await GoBackAsync(new bool[Nodes.Count], new bool[Nodes.Count]);
    }

    // To the line; a lost node's guests come up once more where no line since has them on their new node.
    private async Task<long> GoBackAsync(bool[] failed, bool[] killed)
    {
        bool adopts = Departures.Any(departure => !departure.Settled);
        if (adopts)
        {
            // All that came with one recovery come once more: its line has none of them.
            Departures = [.. Departures.Select(departure => departure with { Settled = false })];
        }

        RecoveryPlan plan = RecoveryPlan.ByIndex(
            [.. Nodes.Select((node, i) => node.Status(failed[i])), .. adopts ? Lost.Select(lost => lost.Status(failed: true)) : []],
            _incarnation);
        for (int i = 0; i < Nodes.Count; i++)
        {
            if (killed[i])
            {
                await Nodes[i].StartAsync();
                Assert.True(Nodes[i].Messenger.AwaitsRecovery);
            }
        }

        long adopted = 0;
        _incarnation = plan.Incarnation;
        foreach (int i in Enumerable.Range(0, Nodes.Count).OrderBy(_ => _random.Next()))
        {
            bool host = adopts && Nodes[i] == Host;
            if (plan.Steps[i] == RecoveryStep.RollBack)
            {
                if (_random.Next(3) == 0)
                {
                    await Nodes[i].RollBackTwiceAsync(plan.Members[i], plan.Line, plan.Incarnation, host);
                }
                else
                {
                    Nodes[i].RollBack(plan.Members[i], plan.Line, plan.Incarnation, host);
                }

                if (!host)
                {
                    Nodes[i].Messenger.Resume();
                }
            }
            else
            {
                _ = Nodes[i].Messenger.Survive(plan.Line, plan.Incarnation, Departures, host);
            }

            if (host)
            {
                adopted = await Nodes[i].AdoptAsync(Lost, plan.Line);
                Adoptions++;
            }
        }

        return adopted;
    }

    /// <summary>The nodes that are lost.</summary>
    internal IReadOnlyList<Departure> Departures { get; private set; } = [];

    /// <summary>The node that has the guests of the lost one.</summary>
    internal TestNode? Host { get; private set; }

    /// <summary>How often they were found to be there for good.</summary>
    internal int Settled { get; private set; }

    /// <summary>How often they came there.</summary>
    internal int Adoptions { get; private set; }

    /// <summary>The nodes that were lost.</summary>
    internal List<TestNode> Lost { get; } = [];

    /// <summary>Guests stand still until everything has arrived: the money is what it was.</summary>
    internal async Task SettleAsync()
    {
        foreach (TestNode node in Nodes)
        {
            node.StopGuests();
        }

        var patience = Stopwatch.StartNew();
        while (true)
        {
            foreach (TestNode node in Nodes)
            {
                node.Messenger.Retry();
                node.RequireNoErrors();
            }

            if (Nodes.TrueForAll(node => node.IsQuiet) && Nodes.Sum(node => node.Money) == _money)
            {
                return;
            }

            if (patience.Elapsed > Patience)
            {
                Assert.Fail($"money is {Nodes.Sum(node => node.Money)} instead of {_money}; " + string.Join("; ", Nodes.Select(
                    n => $"{n.Name} {n.Messenger.Index} {n.Uplink.Leaving} {string.Join(", ", n.Messenger.Peers)}")));
            }

            await Task.Delay(5);
        }
    }

    /// <summary>Ends all nodes and judges their traces.</summary>
    internal async Task<CheckReport> JudgeAsync()
    {
        foreach (TestNode node in Nodes)
        {
            await node.DisposeAsync();
            node.RequireNoErrors();
        }

        using var merged = new MemoryStream();
        string[] lost = [.. Lost.Select(node => node.TracePath)];
        string[] adopted = [.. Lost.Select(node => $"{Host!.TracePath}.{node.Name}")];
        TraceFiles.Merge(
            [.. Nodes.Select(node => node.TracePath), .. lost, .. adopted], lost, header => TraceWriter.Create(merged, header));
        Lost.ForEach(node => node.Discard());
        merged.Position = 0;
        return TraceChecker.Check(merged);
    }

    public ValueTask DisposeAsync()
    {
        Folder.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    private static async Task QuiesceAsync(TestNode node)
    {
        while (true)
        {
            await node.StopCheckpointsAsync();
            try
            {
                node.Messenger.Quiesce();
                return;
            }
            catch (InvalidOperationException)
            {
                // A batch forced one meanwhile.
                await Task.Delay(1);
            }
        }
    }
}
