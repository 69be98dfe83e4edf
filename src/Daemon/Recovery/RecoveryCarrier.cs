using Google.Protobuf;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>Carries out the effects of one recovery on this node, or of a start. Whoever uses it has the turn.</summary>
/// <param name="core">The node.</param>
/// <param name="node">The node's parts.</param>
/// <param name="task">What was planned; null for a start.</param>
internal sealed class RecoveryCarrier(NodeCore core, NodeRuntime node, RecoveryTask? task) : IDisposable
{
    private readonly RestCarrier _rest = new(core, node.Store, node.File);
    private readonly List<V1.RestoredDomain> _domains = [];
    private RestoredNodes? _restored;

    /// <summary>What is answered; null before that is known.</summary>
    internal V1.RecoverResponse? Response { get; private set; }

    /// <summary>Carries the recovery out. Where that fails, the node is ready for the same call.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    internal async Task CarryOutAsync(CancellationToken cancellationToken)
    {
        RecoveryPart part = task!.Part;
        RecoveryExecution? step = RecoveryExecution.Begin(node.File.State, part, node.Channels.Now);
        try
        {
            while (step is not null)
            {
                if (step.Reached is { } reached)
                {
                    core.Fault?.Invoke(reached);
                }

                step = step.After(await CarryAsync(step.Effect, cancellationToken).ConfigureAwait(false));
            }
        }
        catch (Exception e)
        {
            Forget();
            if (step!.AfterFailure(node.File.State, part, node.Channels.Now) is { } rest)
            {
                core.Log.RecoveryInterrupted(part.Order.Line, e.Message);
                if (!core.Stop.IsCancellationRequested)
                {
                    await CarryAsync(rest).ConfigureAwait(false);
                }
            }

            throw;
        }
    }

    /// <summary>Carries out all steps from one on.</summary>
    /// <param name="first">The first one.</param>
    internal async Task CarryAsync(RecoveryExecution first)
    {
        for (RecoveryExecution? step = first; step is not null;)
        {
            step = step.After(await CarryAsync(step.Effect, CancellationToken.None).ConfigureAwait(false));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Forget();

    private async Task<EffectOutcome> CarryAsync(RecoveryEffect effect, CancellationToken cancellationToken)
    {
        switch (effect)
        {
            case RecoveryEffect.CloseCheckpointer:
                await node.Checkpointing.CloseAsync().ConfigureAwait(false);
                return EffectOutcome.Done.Value;
            case RecoveryEffect.MakeMessages:
                await node.Channels.MakeAgainAsync().ConfigureAwait(false);
                return EffectOutcome.Done.Value;
            case RecoveryEffect.TakeRaisingCheckpoint:
                await node.Taker.RaiseAsync(cancellationToken).ConfigureAwait(false);
                return new EffectOutcome.Messages(node.Channels.Now);
            case RecoveryEffect.LetRun when _restored is not null:
                LetRestoredRun(_restored);
                return EffectOutcome.Done.Value;
            case RecoveryEffect.ComposeAnswer compose:
                Response = Compose(compose);
                return new EffectOutcome.Composed(node.Channels.Messages.SavedIndex, Response.ToByteArray());
            case RecoveryEffect.RollBackMessages or RecoveryEffect.Survive or RecoveryEffect.AdoptDomains:
                return new EffectOutcome.Messages(Delivered: CarryMessages(effect), Now: node.Channels.Now);
            default:
                if (_rest.TryCarry(effect) is { } outcome)
                {
                    return outcome;
                }

                Carry(effect, cancellationToken);
                return EffectOutcome.Done.Value;
        }
    }

    private void Carry(RecoveryEffect effect, CancellationToken cancellationToken)
    {
        switch (effect)
        {
            case RecoveryEffect.StopMessages:
                node.Channels.Stop();
                break;
            case RecoveryEffect.UndoLogs:
                core.Undo();
                break;
            case RecoveryEffect.Destroy destroy:
                Destroy(destroy.Domains);
                break;
            case RecoveryEffect.Restore restore:
                Restore(restore, cancellationToken);
                break;
            case RecoveryEffect.KeepRestored:
                _restored!.Keep();
                break;
            case RecoveryEffect.TellDurable:
                node.Channels.Messages.DurableIndex = node.Channels.Messages.SavedIndex;
                break;
            case RecoveryEffect.OpenCheckpointer:
                node.Checkpointing.Open();
                break;
            case RecoveryEffect.ResumeMessages:
                node.Channels.Messages.Resume();
                break;
            case RecoveryEffect.StartMessages:
                node.Channels.Start();
                break;
            case RecoveryEffect.CheckpointSoon:
                node.Queue.SetTimer(soon: true);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(effect), effect, null);
        }
    }

    private long CarryMessages(RecoveryEffect effect)
    {
        switch (effect)
        {
            case RecoveryEffect.RollBackMessages back:
                return node.Channels.Messages.RollBack(
                    new Restorer(node.Store).ReadNodeState(task!.Member!), back.Line, back.Incarnation, back.Departures, back.Adopts);
            case RecoveryEffect.Survive on:
                _ = node.Channels.Messages.Survive(on.Line, on.Incarnation, on.Departures, on.Adopts);
                return 0;
            default:
                return node.Channels.Messages.Adopt(
                    [
                        .. task!.Adopted.Select(lost => new Adoption(
                            lost.Node, new Restorer(lost.Store).ReadNodeState(lost.Member),
                            NodeSettings.ChannelLogOf(lost.Store.Root), [.. lost.Member.Domains.Select(d => d.Uuid)])),
                    ],
                    task.Order.Line);
        }
    }

    private void Destroy(IReadOnlyList<Guid> domains)
    {
        foreach (Guid domain in domains)
        {
            try
            {
                using IDomain there = core.Hypervisor.OpenDomain(domain);
                there.Destroy();
            }
            catch (DomainNotFoundException)
            {
                // It is gone already.
            }
        }
    }

    private void Restore(RecoveryEffect.Restore restore, CancellationToken cancellationToken)
    {
        _restored = new RestoredNodes();
        if (restore.Own is not null)
        {
            _restored.Add(Restore(node.Store, task!.Member!, cancellationToken));
        }

        foreach (AdoptedNode lost in task!.Adopted)
        {
            _restored.Add(Restore(lost.Store, lost.Member, cancellationToken));
        }

        _domains.AddRange(_restored.Domains.Select(Messages.From));
    }

    private PausedDomains Restore(DirectoryStore store, CheckpointManifest member, CancellationToken cancellationToken) =>
        new Restorer(store).RestorePaused(
            core.Hypervisor, member, disks: member.Domains.Any(NodeRestores.HasDisks) ? core.Platform.DiskRestorer(store) : null,
            verified: true, cancellationToken: cancellationToken);

    private void LetRestoredRun(RestoredNodes restored)
    {
        foreach (PausedDomains paused in restored.All)
        {
            IReadOnlyList<IDomain> running = paused.Run();
            core.Platform.Running(running);
            foreach (IDomain domain in running)
            {
                domain.Dispose();
            }
        }

        _restored = null;
    }

    private V1.RecoverResponse Compose(RecoveryEffect.ComposeAnswer compose)
    {
        bool back = compose.Part is RollBackPart;
        CheckpointManifest? checkpoint = back
            ? task!.Member
            : node.Store.Standing(node.File.State).FirstOrDefault(m => (long)m.Closing.Index >= compose.Part.Order.Line);
        return new V1.RecoverResponse
        {
            Action = back ? V1.RecoverAction.RollBack : V1.RecoverAction.Checkpoint,
            CheckpointId = checkpoint is null ? "" : $"{checkpoint.Id}",
            Index = checkpoint?.Closing.Index ?? (ulong)node.Channels.Messages.Index,
            Domains = { _domains.Count > 0 ? _domains : There(compose.Part.AdoptedDomains) },
            ReplayedBatches = (ulong)compose.Delivered,
        };
    }

    // Domains that came here before the call was made again.
    private IEnumerable<V1.RestoredDomain> There(IEnumerable<Guid> domains) => domains
        .Select(domain => core.Hypervisor.ListDomains().FirstOrDefault(i => i.Uuid == domain))
        .OfType<DomainInfo>()
        .Select(i => new V1.RestoredDomain { Uuid = $"{i.Uuid}", Name = i.Name ?? "", Id = (uint)i.Id });

    // Domains that neither run nor are kept are removed.
    private void Forget()
    {
        _restored?.Dispose();
        _restored = null;
    }
}
