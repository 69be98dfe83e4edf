using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Chaos;

/// <content>What happens to the nodes.</content>
public sealed partial class ChaosRun
{
    private async Task InjectAsync(Fault fault, List<Action> undo, CancellationToken cancellationToken)
    {
        switch (fault)
        {
            case Fault.Kill:
                int most = _random.Next(3) == 0 ? _nodes.Count : 1;
                foreach (DaemonProcess node in _random.GetItems(_nodes.ToArray(), most).Distinct())
                {
                    await node.KillAsync();
                }

                break;
            case Fault.Terminate:
                await WithinPatience("a daemon ends", _random.GetItems(_nodes.ToArray(), 1)[0].TerminateAsync, cancellationToken);
                break;
            case Fault.CutLink or Fault.SlowLink or Fault.StallLink:
                Link link = _random.GetItems(_links.ToArray(), 1)[0];
                link.State = fault switch { Fault.CutLink => LinkState.Cut, Fault.SlowLink => LinkState.Slow, _ => LinkState.Stalled };
                undo.Add(() => link.State = LinkState.Open);
                break;
            case Fault.StoreAway:
                DaemonProcess bare = _random.GetItems(_nodes.ToArray(), 1)[0];
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
        DaemonProcess? lost = await UnsettledAsync(cancellationToken);
        ClusterView view = await ClusterView.AskAsync(
            [.. _nodes.Concat(lost is null ? [] : [lost]).Select(n => n.Remote)], cancellationToken);
        if (view.SafeLine is not { } line || view.Nodes.Any(n => n.Node is not { AwaitsRecovery: false } && n.Name != lost?.Name))
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

        if (fault == Fault.LoseNode)
        {
            if (_nodes.Count < 3 || await UnsettledAsync(cancellationToken) is not null)
            {
                return;
            }

            DaemonProcess gone = _random.GetItems(_nodes.ToArray(), 1)[0];
            await WithinPatience($"{gone.Name} has a checkpoint that others know of", async token =>
            {
                // Before it there is nothing that its guests could go back to.
                while (!(await ClusterView.AskAsync([.. _nodes.Select(n => n.Remote)], token)).Answering
                    .Any(n => n.Peers.Any(p => p.Name == gone.Name && p.DurableSn > 0)))
                {
                    await LeadAsync(token);
                    await Task.Delay(Look, token);
                }
            }, cancellationToken);
            await gone.KillAsync();
            _ = _nodes.Remove(gone);
            _lost.Add(gone);
            _unsettled = gone;
            _homeless = true;
            _losses++;
            _output.WriteLine($"  {gone.Name} is lost");
            if (_random.Next(2) == 0)
            {
                return;
            }
        }

        _interrupted++;
        int moment = _random.Next(400);
        DaemonProcess victim = _random.GetItems(_nodes.ToArray(), 1)[0];
        if (fault == Fault.KillLeader)
        {
            using var leader = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(
                "dotnet",
                [
                    Path.Combine(System.AppContext.BaseDirectory, "xtlctl-program/xtlctl.dll"), "cluster", "recover", "--yes",
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
}
