using System.Globalization;
using Grpc.Core;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Chaos;

/// <content>What has to hold after a round, and at the end of the run.</content>
public sealed partial class ChaosRun
{
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

        await CheckpointAsync(_random.GetItems(_nodes.ToArray(), 1)[0], cancellationToken);
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
        int there = 0;
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
                domains = await node.Control.ListDomainsAsync(new ListDomainsRequest(), new CallOptions(cancellationToken: cancellationToken));
            }
            catch (StatusException e)
            {
                return $"{node.Name}: {e.Message}";
            }

            Domain[] guests = [.. domains.Domains.Where(d => d.Id != 0)];
            there += guests.Length;
            if (guests.Length < _options.Guests || guests.Any(d => d.State.AsSpan(2).ContainsAnyExcept('-')))
            {
                return $"{node.Name} has the guests {string.Join(", ", guests.Select(d => $"{d.Name} {d.State}"))}";
            }
        }

        return there == _all.Length * _options.Guests ? "" : $"there are {there} guests and not {_all.Length * _options.Guests}";
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
        ulong due = (ulong)_all.Length * (ulong)_options.Guests * Accounts * Balance;
        ulong sent = all.Values.Aggregate(0UL, (sum, h) => sum + h.Sent);
        ulong taken = all.Values.Aggregate(0UL, (sum, h) => sum + h.Received + h.Waiting);
        _output.WriteLine($"  money {there} of {due}, {sent} sent since the guests booted");
        if (there != due || sent != taken)
        {
            throw new ChaosException(
                $"the banks have {there} and not {due}; they have sent {sent}, and {taken} came: "
                + string.Join("; ", all.Select(h => $"{h.Key} {h.Value with { Channels = new Dictionary<(string, string), (long, long)>() }}")));
        }

        // With the channels of lost nodes, whose ends are where their guests are.
        Dictionary<(string Here, string There), (long Sent, long Delivered)> channels = all.Values
            .SelectMany(holdings => holdings.Channels).ToDictionary();
        foreach (((string here, string away), (long last, _)) in channels)
        {
            if (channels.TryGetValue((away, here), out (long Sent, long Delivered) other) && other.Delivered != last)
            {
                throw new ChaosException($"{here} has sent {last} batches to {away}, which has {other.Delivered}");
            }
        }
    }

    // What the nodes recorded, judged as one run.
    private void Judge()
    {
        string[] lost = [.. _lost.Select(n => n.Trace)];
        string[] later = [.. _lost.SelectMany(n => Directory.GetFiles(_options.Folder, $"*.trace.{n.Name}"))];
        try
        {
            using FileStream merged = File.Create(Path.Combine(_options.Folder, "run.trace"));
            TraceFiles.Merge([.. _all.Select(n => n.Trace), .. later], lost, header => TraceWriter.Create(merged, header));
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
        catch (TraceException e)
        {
            throw new ChaosException($"the traces cannot be judged: {e.Message}", e);
        }
    }
}
