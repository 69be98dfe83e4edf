using System.Globalization;
using System.Net;
using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Client;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>
/// A cluster of real daemons over real connections, to which things happen; after each round it has to be whole again, and
/// the money of its guests' banks is counted.
/// </summary>
public sealed class ChaosRun : IDisposable
{
    private const ulong Accounts = 4096, Balance = 1000;

    /// <summary>How long the cluster may take for what takes seconds: beyond it hangs.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    private readonly ChaosOptions _options;
    private readonly TextWriter _output;
    private readonly Random _random;
    private readonly Guid _cluster = Guid.NewGuid();
    private readonly DaemonProcess[] _nodes;
    private readonly List<Link> _links = [];
    private readonly Dictionary<(int From, int To), IPEndPoint> _ways = [];
    private readonly SortedDictionary<Fault, int> _injected = [];
    private readonly Storage _storage;
    private int _recoveries;
    private int _interrupted;
    private int _counts;
    private int _round;
    private bool _still;
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
        _nodes = [.. Enumerable.Range(0, options.Nodes).Select(i => new DaemonProcess(
            options.Folder, ((char)('a' + i)).ToString(),
            new IPEndPoint(new IPAddress([127, (byte)(1 + ((id >> 8) % 250)), (byte)id, (byte)(i + 1)]), 7400)))];
        for (int i = 0; i < _nodes.Length; i++)
        {
            for (int j = i + 1; j < _nodes.Length; j++)
            {
                var link = new Link($"{_nodes[i].Name}-{_nodes[j].Name}");
                _links.Add(link);
                _ways[(i, j)] = link.Towards(_nodes[j].Address);
                _ways[(j, i)] = link.Towards(_nodes[i].Address);
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
        _output.WriteLine($"chaos: seed {_options.Seed}, {_nodes.Length} nodes with {_options.Guests} guests each, {_options.Rounds} rounds, in {_options.Folder}");
        try
        {
            _nodes.ToList().ForEach(Start);
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
                + $"; {_recoveries} recoveries, {_interrupted} interrupted; {Events(3010)} checkpoints, {Events(3011)} failed; money counted {_counts} times");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Array.ForEach(_nodes, n => n.Dispose());
        _links.ForEach(l => l.Dispose());
        if (!_well)
        {
            _storage.Keep();
        }

        _storage.Dispose();
    }

    private int Events(int number) => _nodes.Sum(n => n.Logged(number));

    private void Start(DaemonProcess node)
    {
        int self = Array.IndexOf(_nodes, node);
        node.Start(
            _cluster,
            _nodes.Select((n, i) => (n.Name, i == self ? n.Address : _ways[(self, i)])),
            new
            {
                guests = _options.Guests,
                workload = "bank",
                memory = "8M",
                stepsPerSecond = _still ? 0 : 50,
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
                if (fault is Fault.GiveUpRecovery or Fault.KillLeader or Fault.KillInRecovery or Fault.Recover)
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

    private async Task InjectAsync(Fault fault, List<Action> undo, CancellationToken cancellationToken)
    {
        switch (fault)
        {
            case Fault.Kill:
                int most = _random.Next(3) == 0 ? _nodes.Length : 1;
                foreach (DaemonProcess node in _random.GetItems(_nodes, most).Distinct())
                {
                    await node.KillAsync();
                }

                break;
            case Fault.Terminate:
                await WithinPatience("a daemon ends", _random.GetItems(_nodes, 1)[0].TerminateAsync, cancellationToken);
                break;
            case Fault.CutLink or Fault.SlowLink or Fault.StallLink:
                Link link = _random.GetItems(_links.ToArray(), 1)[0];
                link.State = fault switch { Fault.CutLink => LinkState.Cut, Fault.SlowLink => LinkState.Slow, _ => LinkState.Stalled };
                undo.Add(() => link.State = LinkState.Open);
                break;
            case Fault.StoreAway:
                DaemonProcess bare = _random.GetItems(_nodes, 1)[0];
                if (_storage.TakeAway(bare.Store))
                {
                    undo.Add(() => _storage.PutBack(bare.Store));
                }

                break;
            case Fault.StorageFull:
                _storage.Fill();
                undo.Add(_storage.Empty);
                break;
            case Fault.CollectGarbage:
                await CollectAsync(cancellationToken);
                break;
        }
    }

    private async Task CollectAsync(CancellationToken cancellationToken)
    {
        ClusterView view = await ClusterView.AskAsync([.. _nodes.Select(n => n.Remote)], cancellationToken);
        if (view.SafeLine is not { } line || view.Nodes.Any(n => n.Node is not { AwaitsRecovery: false }))
        {
            return;
        }

        foreach (DaemonProcess node in _nodes)
        {
            try
            {
                _ = await node.Remote.CollectGarbageAsync(new CollectGarbageRequest { Line = (ulong)line }, cancellationToken);
            }
            catch (StatusException)
            {
                // Busy, or down; what is left is removed another time.
            }
        }
    }

    // docs/operations.md: after the channel log could not be written, the daemon has to be started anew.
    private async Task RestartThoseWithoutLogAsync(CancellationToken cancellationToken)
    {
        DaemonProcess[] without = [.. _nodes.Where(n => n.LogBroken)];
        foreach (DaemonProcess node in without)
        {
            await WithinPatience("a daemon ends", node.TerminateAsync, cancellationToken);
        }

        await RestartAsync(without, cancellationToken);
    }

    private async Task InterruptAsync(Fault fault, CancellationToken cancellationToken)
    {
        if (fault == Fault.Recover)
        {
            await RecoverOnceAsync(cancellationToken);
            return;
        }

        _interrupted++;
        int moment = _random.Next(400);
        DaemonProcess victim = _random.GetItems(_nodes, 1)[0];
        if (fault == Fault.KillLeader)
        {
            using var leader = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(
                "dotnet",
                [
                    Path.Combine(System.AppContext.BaseDirectory, "xtlctl.dll"), "cluster", "recover",
                    .. _nodes.SelectMany(n => new[] { "--node", $"{n.Name}={n.Socket}" }),
                ])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                UseShellExecute = false,
            })!;

            // It prints the plan before it carries it out.
            _ = await leader.StandardOutput.ReadLineAsync(cancellationToken);
            await Task.Delay(moment, cancellationToken);
            leader.Kill();
            await leader.WaitForExitAsync(cancellationToken);
            return;
        }

        using var givenUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task recovery = RecoverOnceAsync(givenUp.Token);
        await Task.WhenAny(recovery, Task.Delay(moment, cancellationToken));
        if (fault == Fault.KillInRecovery)
        {
            await victim.KillAsync();
        }
        else
        {
            await givenUp.CancelAsync();
        }

        await recovery.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        await RestartAsync([.. _nodes.Where(n => !n.Runs)], cancellationToken);
    }

    private async Task RecoverOnceAsync(CancellationToken cancellationToken)
    {
        var leader = new RecoveryLeader([.. _nodes.Select(n => n.Remote)]);
        ClusterRecovery plan = await leader.PlanAsync(new RecoveryWish(null, null, null), cancellationToken);
        _ = await leader.CarryOutAsync(plan, null, cancellationToken);
        _recoveries++;
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

    private async Task<bool> NeedsRecoveryAsync(CancellationToken cancellationToken)
    {
        ClusterView view = await ClusterView.AskAsync([.. _nodes.Select(n => n.Remote)], cancellationToken);
        Node[] all = [.. view.Answering];
        return all.Length < _nodes.Length || all.Any(n => n.AwaitsRecovery || n.Recovery is { Done: false })
            || all.Select(n => n.Incarnation).Distinct().Count() > 1;
    }

    // The light check: all nodes carry messages in one incarnation, all guests run, and a checkpoint can be taken.
    private async Task CheckAsync(CancellationToken cancellationToken)
    {
        string missing = "";
        try
        {
            await WithinPatience("all nodes are well", async token =>
            {
                while ((missing = await MissingAsync(token)).Length > 0)
                {
                    if (_nodes.FirstOrDefault(n => !n.Runs) is { } dead)
                    {
                        throw new ChaosException($"the daemon of {dead.Name} has ended by itself");
                    }

                    // A call that was given up may begin its recovery after the last look at the node.
                    await LeadAsync(token);
                    await Task.Delay(Look, token);
                }
            }, cancellationToken);
        }
        catch (ChaosException e)
        {
            throw new ChaosException($"{e.Message}: {missing}", e);
        }

        await CheckpointAsync(_random.GetItems(_nodes, 1)[0], cancellationToken);
        foreach (int defect in new[] { 3040, 3106, 3107 })
        {
            if (_nodes.FirstOrDefault(n => n.Logged(defect) > 0) is { } node)
            {
                throw new ChaosException($"the log of {node.Name} has the event {defect}");
            }
        }
    }

    private async Task<string> MissingAsync(CancellationToken cancellationToken)
    {
        foreach (DaemonProcess node in _nodes)
        {
            if (await node.AskAsync(cancellationToken) is not { } said)
            {
                return $"{node.Name} does not answer";
            }

            if (said.AwaitsRecovery || said.Recovery is { Done: false } || said.State is not (NodeState.Ready or NodeState.Checkpointing))
            {
                return $"{node.Name} is {said.State}" + (said.AwaitsRecovery ? " and awaits a recovery" : "");
            }

            if (said.Peers.FirstOrDefault(p => !p.Connected || p.Incarnation != said.Incarnation) is { } peer)
            {
                return $"{node.Name} has no channel to {peer.Name}";
            }

            ListDomainsResponse domains;
            try
            {
                domains = await node.Control.ListDomainsAsync(new CallOptions(CancellationToken: cancellationToken));
            }
            catch (StatusException e)
            {
                return $"{node.Name}: {e.Message}";
            }

            Domain[] guests = [.. domains.Domains.Where(d => d.Id != 0)];
            if (guests.Length != _options.Guests || guests.Any(d => d.State.AsSpan(2).ContainsAnyExcept('-')))
            {
                return $"{node.Name} has the guests {string.Join(", ", guests.Select(d => $"{d.Name} {d.State}"))}";
            }
        }

        return "";
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
                        using ServerStreamingCall<CheckpointUpdate> call = node.Control.Checkpoint(
                            new CheckpointRequest(), new CallOptions(CancellationToken: token));
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

    // The strict check: the cluster starts anew with guests that stand still, and goes back to a line. When all that was
    // under way has come, images of all nodes are of one state, and have all the money there is.
    private async Task CountAsync(bool last, CancellationToken cancellationToken)
    {
        await TerminateAllAsync(cancellationToken);
        _still = true;
        await RestartAsync(_nodes, cancellationToken);
        await LeadAsync(cancellationToken);
        string waiting = "";
        await WithinPatience("all messages come", async token =>
        {
            do
            {
                await Task.Delay(Look, token);
                waiting = "";
                foreach (DaemonProcess node in _nodes)
                {
                    waiting += await node.AskAsync(token) is { } said
                        ? string.Concat(said.Peers.Where(p => p.Unacknowledged > 0).Select(p => $" {node.Name}-{p.Name} {p.Unacknowledged}"))
                        : $" {node.Name}";
                }
            }
            while (waiting.Length > 0);
        }, cancellationToken);
        var epochs = new Dictionary<DaemonProcess, ulong>();
        foreach (DaemonProcess node in _nodes)
        {
            epochs[node] = (await CheckpointAsync(node, cancellationToken)).Epoch;
        }

        // A daemon tidies its store while it runs.
        await TerminateAllAsync(cancellationToken);
        Count(epochs.ToDictionary(e => e.Key.Name, e => Holdings.Read(e.Key.Store, e.Value)));
        _still = false;
        if (last)
        {
            return;
        }

        await RestartAsync(_nodes, cancellationToken);
        await LeadAsync(cancellationToken);
        await CheckAsync(cancellationToken);
    }

    private void Count(Dictionary<string, Holdings> all)
    {
        _counts++;
        ulong there = all.Values.Aggregate(0UL, (sum, h) => sum + h.Balances + h.Waiting);
        ulong due = (ulong)_nodes.Length * (ulong)_options.Guests * Accounts * Balance;
        ulong sent = all.Values.Aggregate(0UL, (sum, h) => sum + h.Sent);
        ulong taken = all.Values.Aggregate(0UL, (sum, h) => sum + h.Received + h.Waiting);
        _output.WriteLine($"  money {there} of {due}, {sent} sent since the guests booted");
        if (there != due || sent != taken)
        {
            throw new ChaosException(
                $"the banks have {there} and not {due}; they have sent {sent}, and {taken} came: "
                + string.Join("; ", all.Select(h => $"{h.Key} {h.Value with { Channels = new Dictionary<string, (long, long)>() }}")));
        }

        foreach ((string from, Holdings sender) in all)
        {
            foreach ((string to, (long last, _)) in sender.Channels)
            {
                if (all[to].Channels[from].Delivered is long delivered && delivered != last)
                {
                    throw new ChaosException($"{from} has sent {last} batches to {to}, which has {delivered}");
                }
            }
        }
    }

    private Task TerminateAllAsync(CancellationToken cancellationToken) => WithinPatience(
        "the daemons end", token => Task.WhenAll(_nodes.Select(n => n.TerminateAsync(token))), cancellationToken);

    // What the nodes recorded, judged as one run.
    private void Judge()
    {
        var inputs = new List<FileStream>();
        TraceReader Open(DaemonProcess node)
        {
            inputs.Add(File.OpenRead(node.Trace));
            return TraceReader.Open(inputs[^1]);
        }

        try
        {
            using FileStream merged = File.Create(Path.Combine(_options.Folder, "run.trace"));
            using (TraceWriter writer = TraceWriter.Create(merged, TraceMerger.HeaderOf([.. _nodes.Select(n => Open(n).Header)])))
            {
                TraceMerger.Merge([.. _nodes.Select(n => new Func<TraceReader>(() => Open(n)))], writer);
                writer.Complete();
                merged.Position = 0;
                CheckReport report = TraceChecker.Check(merged);
                _output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"trace: {report.Records} records, {report.Sends} sends, {report.Receives} receives, {report.Basic} basic and {report.Forced} forced checkpoints, {report.Rollbacks} rollbacks, {report.CheckpointsUndone} checkpoints undone, {report.Useless} useless: {(report.Sound ? "sound" : "not sound")}"));
                if (!report.Sound || report.Useless > 0)
                {
                    throw new ChaosException(
                        "the trace is not sound: " + string.Join("; ", report.Findings.Select(f => $"record {f.Record}: {f.Text}")));
                }
            }
        }
        catch (TraceException e)
        {
            throw new ChaosException($"the traces cannot be judged: {e.Message}", e);
        }
        finally
        {
            inputs.ForEach(i => i.Dispose());
        }
    }

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
