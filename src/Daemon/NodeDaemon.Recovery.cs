using Google.Protobuf;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>The node's part of a recovery of the cluster.</content>
/// <remarks>
/// What happens, in this order, so that a call that ended anywhere can be made again: the promise is on disk, after everything has
/// been looked at that could be wrong; what is to be done is on disk; messages stop; domains of the member are destroyed, and
/// restored without running; the messages begin the incarnation; that it has begun is on disk; checkpoints of the past that is
/// gone are removed; the domains run. A domain runs in the new incarnation only after the disk says that it has begun: what it
/// sends is never sent a second time in the same one.
/// </remarks>
public sealed partial class NodeDaemon
{
    private static readonly TimeSpan RaiseAgain = TimeSpan.FromSeconds(1);

    private bool _quiesced;

    // Checkpoints whose images were found whole for the recovery that is promised.
    private readonly HashSet<Guid> _seenWhole = [];

    /// <summary>Takes part in a recovery.</summary>
    /// <param name="request">The line, the incarnation, the lost nodes, and what is asked.</param>
    /// <param name="cancellationToken">Gives up; the call may be made again.</param>
    /// <exception cref="StatusException">As Recover in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public async Task<V1.RecoverResponse> RecoverAsync(V1.RecoverRequest request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        RequireStarted();
        if (State == V1.NodeState.Restoring)
        {
            throw Problems.IsBusy("A restore is under way; ask again when it has ended.");
        }

        if (request.Phase == V1.RecoverPhase.DryRun)
        {
            return Foretell(request);
        }

        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stop.Token);
        await TakeTurnAsync(giveUp.Token).ConfigureAwait(false);
        try
        {
            OrderVerdict verdict = Judge(request, out RecoveryOrder order);
            if (verdict == OrderVerdict.Done)
            {
                return Repeated();
            }

            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                // What was whole then may not be so any more.
                _seenWhole.Clear();
            }

            using RecoveryTask task = await Task.Run(() => Plan(order, looks: true), CancellationToken.None).ConfigureAwait(false);
            if (request.Phase == V1.RecoverPhase.Prepare)
            {
                if (verdict == OrderVerdict.Promise)
                {
                    _file!.Write(_file.State with { Promised = order });
                    _log.Promised($"{order}");
                }

                return task.Foretell();
            }

            FailOrders(Problems.IsBusy("A recovery has begun."));
            SetState(V1.NodeState.Recovering);
            _seenWhole.Clear();
            return await Task.Run(() => RecoverAsync(task, giveUp.Token), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            SetState(V1.NodeState.Ready);
            _ = _turn.Release();
            Wake();
        }
    }

    private V1.RecoverResponse Foretell(V1.RecoverRequest request)
    {
        if (Judge(request, out RecoveryOrder order) == OrderVerdict.Done)
        {
            return Repeated();
        }

        using RecoveryTask task = Plan(order, looks: false);
        return task.Foretell();
    }

    // The answer of the same call before.
    private V1.RecoverResponse Repeated() => V1.RecoverResponse.Parser.ParseFrom(_file!.State.Last!.Response);

    // A checkpoint that is being taken is given up where that is still possible.
    private async Task TakeTurnAsync(CancellationToken cancellationToken)
    {
        Task turn = _turn.WaitAsync(cancellationToken);
        while (!turn.IsCompleted)
        {
            CancellationTokenSource? current;
            lock (_gate)
            {
                current = _current;
                try
                {
                    current?.Cancel();
                }
                catch (ObjectDisposedException)
                {
                    // It has just ended.
                }
            }

            await turn.WaitAsync(MaxSleep, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await turn.ConfigureAwait(false);
    }

    private async Task<V1.RecoverResponse> RecoverAsync(RecoveryTask task, CancellationToken cancellationToken)
    {
        PendingRecovery what = task.What;
        Fault?.Invoke(RecoverStep.Decided);
        _log.Recovering(
            task.Order.Line, task.Order.Incarnation,
            task.Member is { } m && what.RollsBack ? $"its domains go back to checkpoint {m.Closing.Index}" : "its domains go on");
        _file!.Write(_file.State with { Pending = what, Promised = null });
        try
        {
            Fault?.Invoke(RecoverStep.PendingWritten);
            Quiet(what);
            Fault?.Invoke(RecoverStep.Quiesced);
            V1.RecoverResponse response = what.RollsBack
                ? await RollBackAsync(task, cancellationToken).ConfigureAwait(false)
                : await GoOnAsync(task, cancellationToken).ConfigureAwait(false);
            _quiesced = false;
            StartMessages();
            if (task.Order.Moves.Count > 0 && _settings.BasicInterval is not null)
            {
                // Until all have checkpoints with the domains in their new place, another failure brings the lost node's back.
                _basicAt = Now;
            }

            _log.Recovered(task.Order.Line, task.Order.Incarnation, _messages!.Index);
            Events.Add(new V1.Event { DurableSn = (ulong)_messages.DurableIndex });
            Events.Add(new V1.Event { Recovered = response });
            return response;
        }
        catch (Exception e)
        {
            _log.RecoveryInterrupted(task.Order.Line, e.Message);
            await BeginAgainAsync(what).ConfigureAwait(false);
            throw;
        }
    }

    private void Quiet(PendingRecovery what)
    {
        // The rest of a recovery in which the node has begun to go on. Another one in its place stops the messages again.
        if (_quiesced && !what.RollsBack && _messages!.Incarnation == what.Order.Incarnation)
        {
            return;
        }

        while (!TryQuiesce())
        {
            Thread.Sleep(1);
        }

        _quiesced = true;
    }

    // A batch may force a checkpoint at any moment before the messages stand still, and says so a moment later.
    private bool TryQuiesce()
    {
        GiveUpBegun();
        try
        {
            _messages!.Quiesce();
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    // A message may have begun a checkpoint since the last turn ended.
    private void GiveUpBegun()
    {
        lock (_gate)
        {
            if (_begun is null)
            {
                return;
            }

            _begun = null;
        }

        _messages!.CheckpointFailed();
    }

    private async Task<V1.RecoverResponse> RollBackAsync(RecoveryTask task, CancellationToken cancellationToken)
    {
        PendingRecovery what = task.What;
        CheckpointManifest member = task.Member!;
        await CloseCheckpointerAsync().ConfigureAwait(false);
        Undo();
        Destroy([.. member.Domains.Select(d => d.Uuid), .. task.Newer.Select(d => d.Uuid)]);
        Destroy([.. task.Adopted.SelectMany(a => a.Member.Domains).Select(d => d.Uuid)]);
        Fault?.Invoke(RecoverStep.Destroyed);
        using var restored = new RestoredNodes();
        restored.Add(Restore(_store!, member, cancellationToken));
        foreach (AdoptedNode lost in task.Adopted)
        {
            restored.Add(Restore(lost.Store, lost.Member, cancellationToken));
        }

        Fault?.Invoke(RecoverStep.Restored);
        long replayed = _messages!.RollBack(
            new Restorer(_store!).ReadNodeState(member), task.Order.Line, task.Order.Incarnation, Departures(task.Order),
            adopts: task.Adopted.Count > 0);
        replayed += Adopt(task);
        Fault?.Invoke(RecoverStep.RolledBack);
        IReadOnlyList<IDomain> domains = [.. restored.Domains];
        V1.RecoverResponse response = Response(V1.RecoverAction.RollBack, member, domains, replayed);
        End(what, response, [.. domains.Select(d => d.Uuid)],
            new DiscardedEpochs(member.Epoch, _store!.Checkpoints[^1].Epoch));

        // The disk says that they are there.
        restored.Keep();
        Fault?.Invoke(RecoverStep.EndWritten);
        Discard();
        Fault?.Invoke(RecoverStep.Discarded);
        _messages.DurableIndex = _messages.Index;
        OpenCheckpointer();
        restored.All.ForEach(LetRun);
        _file!.Write(_file.State with { Paused = [] });
        Fault?.Invoke(RecoverStep.Running);
        return response;
    }

    private async Task<V1.RecoverResponse> GoOnAsync(RecoveryTask task, CancellationToken cancellationToken)
    {
        PendingRecovery what = task.What;
        IReadOnlyList<V1.RestoredDomain> adopted = [];
        long replayed = 0;
        if (_messages!.Incarnation != task.Order.Incarnation)
        {
            _ = _messages.Survive(
                task.Order.Line, task.Order.Incarnation, Departures(task.Order), adopts: task.Adopted.Count > 0);
            Fault?.Invoke(RecoverStep.RolledBack);
        }

        await RaiseAsync(cancellationToken).ConfigureAwait(false);
        Fault?.Invoke(RecoverStep.Raised);
        if (_messages.AwaitsAdoption)
        {
            // The node's member of the line has been taken without them, as where it goes back.
            Destroy([.. task.Adopted.SelectMany(a => a.Member.Domains).Select(d => d.Uuid)]);
            Fault?.Invoke(RecoverStep.Destroyed);
            using var restored = new RestoredNodes();
            foreach (AdoptedNode lost in task.Adopted)
            {
                restored.Add(Restore(lost.Store, lost.Member, cancellationToken));
            }

            Fault?.Invoke(RecoverStep.Restored);
            replayed = Adopt(task);
            adopted = [.. restored.Domains.Select(Daemon.Messages.From)];
            _messages.Resume();
            restored.All.ForEach(LetRun);
        }
        else
        {
            adopted = [.. task.Adopted.SelectMany(a => a.Member.Domains).Select(d => Hypervisor.ListDomains().FirstOrDefault(i => i.Uuid == d.Uuid))
                .OfType<DomainInfo>()
                .Select(i => new V1.RestoredDomain { Uuid = $"{i.Uuid}", Name = i.Name ?? "", Id = (uint)i.Id })];
        }

        CheckpointManifest? taken = Line().FirstOrDefault(m => (long)m.Closing.Index >= task.Order.Line);
        V1.RecoverResponse response = Response(V1.RecoverAction.Checkpoint, taken, [], replayed);
        response.Domains.AddRange(adopted);
        End(what, response, [], null);
        Fault?.Invoke(RecoverStep.EndWritten);
        return response;
    }

    // The line waits for this checkpoint: it is tried until it succeeds, or the caller gives up.
    private async Task RaiseAsync(CancellationToken cancellationToken)
    {
        while (Begun() is { } begun)
        {
            try
            {
                V1.CheckpointReport report = await SaveAsync(begun, null, cancellationToken).ConfigureAwait(false);
                lock (_gate)
                {
                    _begun = null;
                }

                _messages!.CheckpointDone();
                Saved(report);
            }
            catch (CheckpointFailedException e)
            {
                Failed(begun, e);
                await Task.Delay(RaiseAgain, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private PausedDomains Restore(DirectoryStore store, CheckpointManifest member, CancellationToken cancellationToken) =>
        new Restorer(store).RestorePaused(
            Hypervisor, member, disks: member.Domains.Any(HasDisks) ? _platform.DiskRestorer(store) : null,
            verified: true, cancellationToken: cancellationToken);

    private long Adopt(RecoveryTask task) => task.Adopted.Count == 0
        ? 0
        : _messages!.Adopt(
            [
                .. task.Adopted.Select(lost => new Adoption(
                    lost.Node, new Restorer(lost.Store).ReadNodeState(lost.Member),
                    NodeSettings.ChannelLogOf(lost.Store.Root), [.. lost.Member.Domains.Select(d => d.Uuid)])),
            ],
            task.Order.Line);

    private void Destroy(IReadOnlyList<Guid> domains)
    {
        foreach (Guid domain in domains)
        {
            try
            {
                using IDomain there = Hypervisor.OpenDomain(domain);
                there.Destroy();
            }
            catch (DomainNotFoundException)
            {
                // It is gone already.
            }
        }
    }

    private void LetRun(PausedDomains domains)
    {
        IReadOnlyList<IDomain> running = domains.Run();
        _platform.Running(running);
        foreach (IDomain domain in running)
        {
            domain.Dispose();
        }
    }

    private V1.RecoverResponse Response(
        V1.RecoverAction action, CheckpointManifest? checkpoint, IReadOnlyList<IDomain> domains, long replayed) => new()
        {
            Action = action,
            CheckpointId = checkpoint is null ? "" : $"{checkpoint.Id}",
            Index = checkpoint?.Closing.Index ?? (ulong)_messages!.Index,
            Domains = { domains.Select(Daemon.Messages.From) },
            ReplayedBatches = (ulong)replayed,
        };

    private void End(
        PendingRecovery what, V1.RecoverResponse response, IReadOnlyList<Guid> paused, DiscardedEpochs? discarded) =>
        _file!.Write(_file.State with
        {
            Index = _messages!.Index,
            Incarnation = what.Order.Incarnation,
            Promised = null,
            Pending = null,
            Last = new LastRecovery(what.Order, response.ToByteArray()),
            Discarded = discarded ?? _file.State.Discarded,
            Departures = Departures(what.Order),
            Paused = paused,
        });
}
