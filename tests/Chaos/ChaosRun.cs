using System.Net;
using Grpc.Core;
using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>
/// A cluster of real daemons over real connections, to which things happen; after each round it has to be whole again, and
/// the money of its guests' banks is counted.
/// </summary>
public sealed partial class ChaosRun : IDisposable
{
    private const ulong Accounts = 4096, Balance = 1000;

    /// <summary>How long the cluster may take for what takes seconds: beyond it hangs.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly ChaosOptions _options;
    private readonly TextWriter _output;
    private readonly Random _random;
    private readonly Guid _cluster = Guid.NewGuid();
    private readonly DaemonProcess[] _all;

    // Those that are not lost, and those that are.
    private readonly List<DaemonProcess> _nodes;
    private readonly List<DaemonProcess> _lost = [];
    private readonly List<Link> _links = [];
    private readonly Dictionary<(int From, int To), IPEndPoint> _ways = [];
    private readonly SortedDictionary<Fault, int> _injected = [];
    private readonly Storage _storage;
    private int _recoveries;
    private int _interrupted;
    private int _losses;
    private int _counts;
    private int _round;
    private bool _still;
    private DaemonProcess? _unsettled;
    private bool _homeless;
    private bool _well;

    /// <summary>Makes ready.</summary>
    /// <param name="options">The run.</param>
    /// <param name="output">Learns how it goes.</param>
    public ChaosRun(ChaosOptions options, TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        _output = output;
        _random = new Random(options.Seed);
        _ = Directory.CreateDirectory(options.Folder);
        _storage = new Storage(Path.Combine(options.Folder, "shared"));

        // Addresses of its own, and a port below those that the system gives to connections: nobody takes it while a daemon
        // is down.
        int id = Environment.ProcessId;
        _all = [.. Enumerable.Range(0, options.Nodes).Select(i => new DaemonProcess(
            options.Folder, ((char)('a' + i)).ToString(),
            new IPEndPoint(new IPAddress([127, (byte)(1 + ((id >> 8) % 250)), (byte)id, (byte)(i + 1)]), 7400)))];
        _nodes = [.. _all];
        for (int i = 0; i < _all.Length; i++)
        {
            for (int j = i + 1; j < _all.Length; j++)
            {
                var link = new Link($"{_all[i].Name}-{_all[j].Name}");
                _links.Add(link);
                _ways[(i, j)] = link.Towards(_all[j].Address);
                _ways[(j, i)] = link.Towards(_all[i].Address);
            }
        }
    }

    /// <summary>The round that goes on; 0 before the first.</summary>
    public int Round => _round;

    /// <summary>Runs.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ChaosException">Something is wrong with the cluster.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _output.WriteLine($"chaos: seed {_options.Seed}, {_all.Length} nodes with {_options.Guests} guests each, {_options.Rounds} rounds, in {_options.Folder}");
        try
        {
            _nodes.ForEach(Start);
            await AllServeAsync(cancellationToken);
            await CheckAsync(cancellationToken);
            for (_round = 1; _round <= _options.Rounds; _round++)
            {
                await RoundAsync(cancellationToken);
                if (_round % _options.CountEvery == 0 || _round == _options.Rounds)
                {
                    await CountAsync(last: _round == _options.Rounds, cancellationToken);
                }
            }

            Judge();
            _well = true;
        }
        catch (Exception e) when (e is not (ChaosException or OperationCanceledException))
        {
            throw new ChaosException(e.ToString(), e);
        }
        finally
        {
            _output.WriteLine(
                "chaos: " + (_injected.Count == 0 ? "no faults" : string.Join(", ", _injected.Select(f => $"{f.Key} {f.Value}")))
                + $"; {_recoveries} recoveries, {_interrupted} interrupted; {_losses} nodes lost; {Events(3010)} checkpoints, {Events(3011)} failed; money counted {_counts} times");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(_all, n => n.Dispose());
        _links.ForEach(l => l.Dispose());
        if (!_well)
        {
            _storage.Keep();
        }

        _storage.Dispose();
    }

    private int Events(int number) => _all.Sum(n => n.Logged(number));

    private void Start(DaemonProcess node)
    {
        int self = Array.IndexOf(_all, node);
        node.Start(
            _cluster,
            _all.Select((n, i) => (n.Name, i == self ? n.Address : _ways[(self, i)])),
            new
            {
                guests = _options.Guests,
                workload = "bank",
                memory = "8M",

                // Of some hundred messages each: there are always some on their way when something happens.
                stepsPerSecond = _still ? 0 : 10,
                failSuspends = _still ? 0 : _options.FailSuspends,
            },
            _still ? "off" : "1s");
    }

    private async Task AllServeAsync(CancellationToken cancellationToken) => await WithinPatience(
        "the daemons serve", token => Task.WhenAll(_nodes.Select(n => n.ServesAsync(token))), cancellationToken);

    private async Task RestartAsync(IReadOnlyCollection<DaemonProcess> nodes, CancellationToken cancellationToken)
    {
        foreach (DaemonProcess node in nodes)
        {
            Start(node);
        }

        await WithinPatience("the daemons serve", token => Task.WhenAll(nodes.Select(n => n.ServesAsync(token))), cancellationToken);
    }

    private async Task RoundAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<Fault> faults = _options.Plan is { } plan
            ? plan[(_round - 1) % plan.Count]
            : [.. Enumerable.Range(0, _random.Next(1, 4)).Select(_ => _random.GetItems(Enum.GetValues<Fault>(), 1)[0])];
        _output.WriteLine($"round {_round}: {string.Join(", ", faults)}");
        await Task.Delay(_random.Next(200, 2000), cancellationToken);
        var interruptions = new Queue<Fault>();
        var undo = new List<Action>();
        try
        {
            foreach (Fault fault in faults)
            {
                _injected[fault] = _injected.GetValueOrDefault(fault) + 1;
                if (fault is Fault.GiveUpRecovery or Fault.KillLeader or Fault.KillInRecovery or Fault.Recover or Fault.LoseNode)
                {
                    interruptions.Enqueue(fault);
                    continue;
                }

                await InjectAsync(fault, undo, cancellationToken);
                await Task.Delay(_random.Next(600), cancellationToken);
            }

            if (undo.Count > 0)
            {
                await Task.Delay(_random.Next(300, 2500), cancellationToken);
            }
        }
        finally
        {
            undo.ForEach(a => a());
        }

        await RestartAsync([.. _nodes.Where(n => !n.Runs)], cancellationToken);
        await RestartThoseWithoutLogAsync(cancellationToken);
        foreach (Fault interruption in interruptions)
        {
            await InterruptAsync(interruption, cancellationToken);
        }

        await LeadAsync(cancellationToken);
        await RestartThoseWithoutLogAsync(cancellationToken);
        await LeadAsync(cancellationToken);
        await CheckAsync(cancellationToken);
    }

    private async Task RecoverOnceAsync(CancellationToken cancellationToken)
    {
        DaemonProcess? lost = await UnsettledAsync(cancellationToken);
        var leader = new RecoveryLeader([.. _nodes.Concat(lost is null ? [] : [lost]).Select(n => n.Remote)]);
        ClusterRecovery plan = await leader.PlanAsync(new RecoveryWish(lost is null ? [] : [lost.Name]), cancellationToken);
        _ = await leader.CarryOutAsync(plan, null, cancellationToken);
        _recoveries++;
        _homeless &= lost is null;
    }

    // Leads recoveries until no node needs one.
    private async Task LeadAsync(CancellationToken cancellationToken)
    {
        string problem = "";
        try
        {
            await WithinPatience("a recovery is done", async token =>
            {
                while (await NeedsRecoveryAsync(token))
                {
                    try
                    {
                        await RecoverOnceAsync(token);
                    }
                    catch (ClusterRecoveryException e)
                    {
                        if (problem != e.Message)
                        {
                            _output.WriteLine($"  {problem = e.Message}");
                        }

                        // It may say so a moment after it was looked at last.
                        await RestartThoseWithoutLogAsync(token);
                        await Task.Delay(Look, token);
                    }
                }
            }, cancellationToken);
        }
        catch (ChaosException e)
        {
            throw new ChaosException($"{e.Message}: {problem}", e);
        }
    }

    // The node lost last, as long as a recovery has to bring its guests up once more.
    private async Task<DaemonProcess?> UnsettledAsync(CancellationToken cancellationToken)
    {
        if (_unsettled is null)
        {
            return null;
        }

        ClusterView view = await ClusterView.AskAsync([.. _nodes.Select(n => n.Remote)], cancellationToken);
        if (view.Answering.Any(n => n.Recovery?.Settled.Contains(_unsettled.Name) == true))
        {
            _unsettled = null;
        }

        return _unsettled;
    }

    private async Task<bool> NeedsRecoveryAsync(CancellationToken cancellationToken)
    {
        ClusterView view = await ClusterView.AskAsync([.. _nodes.Select(n => n.Remote)], cancellationToken);
        Node[] all = [.. view.Answering];
        return _homeless || all.Length < _nodes.Count || all.Any(n => n.AwaitsRecovery || n.Recovery is { Done: false })
            || all.Select(n => n.Incarnation).Distinct().Count() > 1;
    }

    // Takes a checkpoint; one that fails is asked for again.
    private async Task<CheckpointReport> CheckpointAsync(DaemonProcess node, CancellationToken cancellationToken)
    {
        CheckpointReport? report = null;
        string problem = "";
        try
        {
            await WithinPatience($"{node.Name} takes a checkpoint", async token =>
            {
                while (report is null)
                {
                    try
                    {
                        using AsyncServerStreamingCall<CheckpointUpdate> call = node.Control.Checkpoint(
                            new CheckpointRequest(), new CallOptions(cancellationToken: token));
                        while (await call.ReadAsync(token) is { } update)
                        {
                            report = update.Report ?? report;
                        }
                    }
                    catch (StatusException e)
                    {
                        problem = e.Message;
                        await Task.Delay(Look, token);
                    }
                }
            }, cancellationToken);
        }
        catch (ChaosException e)
        {
            throw new ChaosException($"{e.Message}: {problem}", e);
        }

        return report!;
    }

    private Task TerminateAllAsync(CancellationToken cancellationToken) => WithinPatience(
        "the daemons end", token => Task.WhenAll(_nodes.Select(n => n.TerminateAsync(token))), cancellationToken);

    private async Task WithinPatience(string what, Func<CancellationToken, Task> action, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            await action(patience.Token);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ChaosException($"it does not come about that {what}", e);
        }
    }
}
