using Google.Protobuf;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <content>Carries out what <see cref="RecoveryExecution"/> says.</content>
public sealed partial class NodeDaemon
{
    /// <summary>Carries out the effects of one recovery on this node, or of a start. Whoever uses it has the turn.</summary>
    /// <param name="node">The node.</param>
    /// <param name="task">What was planned; null for a start.</param>
    private sealed class RecoveryCarrier(NodeDaemon node, RecoveryTask? task) : IDisposable
    {
        private readonly List<V1.RestoredDomain> _domains = [];
        private RestoredNodes? _restored;

        /// <summary>What is answered; null before that is known.</summary>
        internal V1.RecoverResponse? Response { get; private set; }

        /// <summary>Carries the recovery out. Where that fails, the node is ready for the same call.</summary>
        /// <param name="cancellationToken">Gives up.</param>
        internal async Task CarryOutAsync(CancellationToken cancellationToken)
        {
            RecoveryPart part = task!.Part;
            RecoveryExecution? step = RecoveryExecution.Begin(node._file!.State, part, node.MessagesNow);
            try
            {
                while (step is not null)
                {
                    if (step.Reached is { } reached)
                    {
                        node.Fault?.Invoke(reached);
                    }

                    step = step.After(await CarryAsync(step.Effect, cancellationToken).ConfigureAwait(false));
                }
            }
            catch (Exception e)
            {
                Forget();
                if (step!.AfterFailure(node._file.State, part, node.MessagesNow) is { } rest)
                {
                    node._log.RecoveryInterrupted(part.Order.Line, e.Message);
                    if (!node._stop.IsCancellationRequested)
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
                    await node.CloseCheckpointerAsync().ConfigureAwait(false);
                    return EffectOutcome.Done.Value;
                case RecoveryEffect.MakeMessages:
                    await node.MakeMessagesAsync().ConfigureAwait(false);
                    return EffectOutcome.Done.Value;
                case RecoveryEffect.TakeRaisingCheckpoint:
                    await node.RaiseAsync(cancellationToken).ConfigureAwait(false);
                    return new EffectOutcome.Messages(node.MessagesNow);
                case RecoveryEffect.RemoveDiscarded remove:
                    return new EffectOutcome.Removed(Remove(remove.Epochs));
                case RecoveryEffect.ComposeAnswer compose:
                    Response = Compose(compose);
                    return new EffectOutcome.Composed(node._messages!.Index, Response.ToByteArray());
                case RecoveryEffect.RollBackMessages or RecoveryEffect.Survive or RecoveryEffect.AdoptDomains:
                    return new EffectOutcome.Messages(Delivered: CarryMessages(effect), Now: node.MessagesNow);
                default:
                    Carry(effect, cancellationToken);
                    return EffectOutcome.Done.Value;
            }
        }

        private void Carry(RecoveryEffect effect, CancellationToken cancellationToken)
        {
            switch (effect)
            {
                case RecoveryEffect.WriteRecord write:
                    node._file!.Write(write.Record);
                    break;
                case RecoveryEffect.StopMessages:
                    node.StopMessages();
                    break;
                case RecoveryEffect.UndoLogs:
                    node.Undo();
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
                    node._messages!.DurableIndex = node._messages.Index;
                    break;
                case RecoveryEffect.OpenCheckpointer:
                    node.OpenCheckpointer();
                    break;
                case RecoveryEffect.LetRun run:
                    LetRun(run.Domains);
                    break;
                case RecoveryEffect.ResumeMessages:
                    node._messages!.Resume();
                    break;
                case RecoveryEffect.StartMessages:
                    node.StartMessages();
                    break;
                case RecoveryEffect.CheckpointSoon:
                    node.Change(schedule => schedule.BasicIsAt(node._settings.BasicInterval is null ? null : Now));
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
                    return node._messages!.RollBack(
                        new Restorer(node._store!).ReadNodeState(task!.Member!), back.Line, back.Incarnation, back.Departures, back.Adopts);
                case RecoveryEffect.Survive on:
                    _ = node._messages!.Survive(on.Line, on.Incarnation, on.Departures, on.Adopts);
                    return 0;
                default:
                    return node._messages!.Adopt(
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
                    using IDomain there = node.Hypervisor.OpenDomain(domain);
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
                _restored.Add(Restore(node._store!, task!.Member!, cancellationToken));
            }

            foreach (AdoptedNode lost in task!.Adopted)
            {
                _restored.Add(Restore(lost.Store, lost.Member, cancellationToken));
            }

            _domains.AddRange(_restored.Domains.Select(Daemon.Messages.From));
        }

        private PausedDomains Restore(DirectoryStore store, CheckpointManifest member, CancellationToken cancellationToken) =>
            new Restorer(store).RestorePaused(
                node.Hypervisor, member, disks: member.Domains.Any(HasDisks) ? node._platform.DiskRestorer(store) : null,
                verified: true, cancellationToken: cancellationToken);

        private void LetRun(IReadOnlyList<Guid> domains)
        {
            if (_restored is not { } restored)
            {
                foreach (Guid domain in domains)
                {
                    LetRun(domain);
                }

                return;
            }

            foreach (PausedDomains paused in restored.All)
            {
                IReadOnlyList<IDomain> running = paused.Run();
                node._platform.Running(running);
                foreach (IDomain domain in running)
                {
                    domain.Dispose();
                }
            }

            _restored = null;
        }

        private void LetRun(Guid uuid)
        {
            try
            {
                using IDomain domain = node.Hypervisor.OpenDomain(uuid);
                if (domain.GetInfo().State.HasFlag(DomainStates.Paused))
                {
                    domain.Unpause();
                    node._platform.Running([domain]);
                    node._log.Undone($"Domain {domain.GetInfo().Name ?? $"{uuid}"} was restored by a recovery and runs now.");
                }
            }
            catch (DomainNotFoundException)
            {
                // Gone since.
            }
        }

        // Newest first: nothing builds upon what goes.
        private bool Remove(DiscardedEpochs gone)
        {
            bool all = true;
            foreach (CheckpointManifest manifest in node._store!.Checkpoints.Reverse()
                .Where(m => m.Epoch > gone.After && m.Epoch <= gone.Through))
            {
                node._pulse.Beat();
                all &= node._store.Remove(manifest.Epoch);
            }

            return all;
        }

        private V1.RecoverResponse Compose(RecoveryEffect.ComposeAnswer compose)
        {
            bool back = compose.Part is RollBackPart;
            CheckpointManifest? checkpoint = back
                ? task!.Member
                : node.Line().FirstOrDefault(m => (long)m.Closing.Index >= compose.Part.Order.Line);
            return new V1.RecoverResponse
            {
                Action = back ? V1.RecoverAction.RollBack : V1.RecoverAction.Checkpoint,
                CheckpointId = checkpoint is null ? "" : $"{checkpoint.Id}",
                Index = checkpoint?.Closing.Index ?? (ulong)node._messages!.Index,
                Domains = { _domains.Count > 0 ? _domains : There(compose.Part.AdoptedDomains) },
                ReplayedBatches = (ulong)compose.Delivered,
            };
        }

        // Domains that came here before the call was made again.
        private IEnumerable<V1.RestoredDomain> There(IEnumerable<Guid> domains) => domains
            .Select(domain => node.Hypervisor.ListDomains().FirstOrDefault(i => i.Uuid == domain))
            .OfType<DomainInfo>()
            .Select(i => new V1.RestoredDomain { Uuid = $"{i.Uuid}", Name = i.Name ?? "", Id = (uint)i.Id });

        // Domains that neither run nor are kept are removed.
        private void Forget()
        {
            _restored?.Dispose();
            _restored = null;
        }
    }
}
