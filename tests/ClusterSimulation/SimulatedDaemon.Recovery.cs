using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>What a node answers to an order.</summary>
/// <param name="Part">What it would do, or does; null where it refuses.</param>
/// <param name="Why">Why it refuses.</param>
internal sealed record SimulatedAnswer(NodePart? Part, string? Why);

/// <content>The node's part of recoveries.</content>
internal sealed partial class SimulatedDaemon
{
    /// <summary>What the daemon tells a leader of itself.</summary>
    internal MemberState Describe()
    {
        NodeRecord record = Disk.Record;
        return new MemberState
        {
            Name = Host.Name,
            DurableIndex = Core.DurableIndex,
            AwaitsRecovery = Core.AwaitsRecovery,
            LostInBegun = record.Pending is { } pending && RecoveryChoices.IsLostIn(pending, MessagesNow),
            Domains = Host.Domains.Count,
            Records = new RecoveryRecords(
                Core.Incarnation, record.Promised, record.Pending?.Order, record.Pending is null ? record.Last?.Order : null),
            Settled = record.Pending is null && record.Last is { } last
                ? [.. last.Order.Moves.Select(m => m.Node).Where(n => RecoveryChoices.IsSettled(record, n))]
                : [],
            Heard = Core.Peers(null).Where(p => p.LastHeard is not null).ToDictionary(p => p.Name, p => p.DurableIndex),
        };
    }

    /// <summary>A leader asks for a promise, or that an order be carried out.</summary>
    /// <param name="order">The order.</param>
    /// <param name="after">The newest incarnation that the leader knew to have begun.</param>
    /// <param name="carriesOut">True where the order is to be carried out.</param>
    /// <param name="answer">Gets the answer, unless the process ends first.</param>
    internal void Recover(RecoveryOrder order, int after, bool carriesOut, Action<SimulatedAnswer> answer) => WithTurn(() =>
    {
        RecoveryRecords records = RecoveryMessages.From(Disk.Record);
        OrderVerdict verdict = carriesOut
            ? RecoveryPromises.OnCarryOut(records, order, out string? why)
            : RecoveryPromises.OnPrepare(records, order, after, out why);
        if (verdict == OrderVerdict.CarryOut && Disk.Record.Pending is { } pending && pending.Order == order
            && RecoveryChoices.IsLostIn(pending, MessagesNow))
        {
            (verdict, why) = (OrderVerdict.Refuse, "The node has lost its state in the middle of it.");
        }

        if (verdict is OrderVerdict.Done or OrderVerdict.Refuse)
        {
            EndTurn();
            answer(new SimulatedAnswer(verdict == OrderVerdict.Done ? new NodePart(Host.Name, [], []) : null, why));
            return;
        }

        (RecoveryPart? part, string? problem) = Plan(order);
        if (part is null || !carriesOut)
        {
            if (part is not null && verdict == OrderVerdict.Promise)
            {
                Disk.Record = Disk.Record.Promising(order);
            }

            EndTurn();
            answer(new SimulatedAnswer(part is null ? null : PartOf(part), problem));
            return;
        }

        var carrier = new Carrier(this, part);
        Carry(RecoveryExecution.Begin(Disk.Record, part, MessagesNow), carrier, failure =>
        {
            EndTurn();
            answer(new SimulatedAnswer(failure is null ? PartOf(part) : null, failure));
        });
    });

    // A checkpoint that is being taken is given up where that is still possible.
    private void WithTurn(Action what)
    {
        if (_turnTaken)
        {
            _giveUp = true;
            Later(1_000, () => WithTurn(what));
            return;
        }

        _turnTaken = true;
        what();
    }

    private void EndTurn()
    {
        _turnTaken = false;
        Later(0, Loop);
    }

    private NodePart PartOf(RecoveryPart part)
    {
        HashSet<Guid> going =
        [
            .. part is RollBackPart back ? back.Member.Domains.Concat(back.Newer) : [], .. part.AdoptedDomains,
        ];
        return new NodePart(
            Host.Name,
            [.. (part is RollBackPart own ? own.Member.Domains : []).Concat(part.AdoptedDomains).Select(d => new DomainName(d, $"{d}"))],
            [.. Host.Domains.Where(d => !going.Contains(d.Uuid)).Select(d => new DomainName(d.Uuid, $"{d.Uuid}"))]);
    }

    private (RecoveryPart? Part, string? Problem) Plan(RecoveryOrder order)
    {
        var view = new PartView(
            Disk.Record, MessagesNow, new SimulatedPast(Host.Name, Disk, [.. Line()]), Disk.LastStored, [.. Host.Domains.Select(d => d.Uuid)])
        {
            Lost = node => new SimulatedPast(node, World.Host(node).Disk, World.Host(node).Disk.Store),
            ReachesPeers = _ => true,
            NameOf = d => $"{d}",
        };
        return PartPlanner.TryPlan(view, order, out RecoveryPart? part, out PartRefusal? refusal) ? (part, null) : (null, refusal.Why);
    }

    // Effect after effect, each in its time; the process, or its host, may end between any two.
    private void Carry(RecoveryExecution? step, Carrier carrier, Action<string?> done)
    {
        if (step is null)
        {
            done(null);
            return;
        }

        Later(World.Random.Next(1_500), () =>
        {
            World.Note($"{Host.Name}: {step.Effect.GetType().Name}");
            try
            {
                if (carrier.Part is not null && step.Effect is not (RecoveryEffect.StopMessages or RecoveryEffect.KeepRestored) && World.DiskFails())
                {
                    // Before the effect, or in the middle of it.
                    throw new IOException("The disk fails.");
                }

                carrier.CarryOut(step.Effect, outcome => Carry(step.After(outcome), carrier, done));
            }
            catch (IOException e)
            {
                carrier.Forget();
                Rest(carrier.Part is { } part ? step.AfterFailure(Disk.Record, part, MessagesNow) : step, carrier, e, done);
            }
        });
    }

    private void Rest(RecoveryExecution? rest, Carrier carrier, IOException cause, Action<string?> done)
    {
        if (rest is null)
        {
            done(cause.Message);
        }
        else
        {
            Later(World.Random.Next(1_500), () => Carry(rest, new Carrier(this, null), failure => done(failure ?? cause.Message)));
        }
    }

    /// <summary>Carries out what the recovery's state machine says.</summary>
    private sealed class Carrier(SimulatedDaemon daemon, RecoveryPart? part)
    {
        private readonly List<Guid> _restored = [];

        internal RecoveryPart? Part { get; } = part;

        internal void CarryOut(RecoveryEffect effect, Action<EffectOutcome> done)
        {
            SimulatedHost host = daemon.Host;
            ChannelCore<AnyProtocol> core = daemon.Core;
            EffectOutcome outcome = EffectOutcome.Done.Value;
            switch (effect)
            {
                case RecoveryEffect.WriteRecord write:
                    host.Disk.Record = write.Record;
                    if (Part is not null && daemon.World.DiskFails())
                    {
                        // It was written, and the directory was not synced; the process goes by the old one.
                        throw new IOException("The disk fails.");
                    }

                    break;
                case RecoveryEffect.StopMessages:
                    Stop();
                    break;
                case RecoveryEffect.Destroy destroy:
                    foreach (Guid domain in destroy.Domains)
                    {
                        host.Destroy(domain);
                    }

                    break;
                case RecoveryEffect.Restore restore:
                    Restore(restore);
                    break;
                case RecoveryEffect.RollBackMessages back:
                    outcome = Messages(core.RollBack(
                        ChannelState.Decode(Find(host, back.Member.Epoch).Channels), back.Line, back.Incarnation, back.Departures, back.Adopts));
                    break;
                case RecoveryEffect.Survive on:
                    _ = core.Survive(on.Line, on.Incarnation, on.Departures, on.Adopts);
                    outcome = Messages(0);
                    break;
                case RecoveryEffect.TakeRaisingCheckpoint:
                    daemon.Raise(() => done(Messages(0)));
                    return;
                case RecoveryEffect.AdoptDomains adopt:
                    outcome = Messages(Adopt(adopt));
                    break;
                case RecoveryEffect.ComposeAnswer:
                    outcome = new EffectOutcome.Composed(core.SavedIndex, []);
                    break;
                case RecoveryEffect.KeepRestored:
                    _restored.Clear();
                    break;
                case RecoveryEffect.RemoveDiscarded remove:
                    _ = host.Disk.Store.RemoveAll(c => c.Epoch > remove.Epochs.After && c.Epoch <= remove.Epochs.Through);
                    outcome = new EffectOutcome.Removed(All: true);
                    break;
                case RecoveryEffect.TellDurable:
                    core.DurableIndex = core.SavedIndex;
                    break;
                case RecoveryEffect.LetRun run:
                    _restored.Clear();
                    foreach (Guid domain in run.Domains)
                    {
                        host.LetRun(domain);
                    }

                    daemon.World.RequireOnce();
                    break;
                case RecoveryEffect.ResumeMessages:
                    core.Resume();
                    daemon.PumpSoon();
                    break;
                case RecoveryEffect.StartMessages:
                    daemon.StartMessages();
                    break;
                case RecoveryEffect.MakeMessages:
                    daemon.MakeMessages();
                    break;
                case RecoveryEffect.CheckpointSoon:
                    daemon._basicAt = daemon.World.Now;
                    break;
                default:
                    // Nothing follows dirty pages here.
                    break;
            }

            done(outcome);
        }

        /// <summary>Domains that neither run nor are kept are removed.</summary>
        internal void Forget()
        {
            foreach (Guid domain in _restored)
            {
                daemon.Host.Destroy(domain);
            }

            _restored.Clear();
        }

        private static SimulatedCheckpoint Find(SimulatedHost host, ulong epoch) => host.Disk.Store.Find(c => c.Epoch == epoch)
            ?? throw new SimulationException($"{host.Name} has lost checkpoint {epoch}.");

        private EffectOutcome.Messages Messages(long delivered)
        {
            daemon.World.Note(
                $"{daemon.Host.Name}: index {daemon.Core.Index}, incarnation {daemon.Core.Incarnation}, {delivered} delivered again; "
                + string.Join("; ", daemon.Core.Topology.All.Select(l =>
                    $"{(l.End is { } end ? $"{end.Name} with " : "")}{l.Name}: sent {l.Out.Acknowledged} to {l.Out.Last}, has {l.In.Settled}")));
            return new(daemon.MessagesNow, delivered);
        }

        private void Stop()
        {
            daemon.GiveUpBegun();
            if (daemon.Core.MayQuiesce())
            {
                daemon.Router.SealAll(beyond: true);
                daemon.Core.Quiesce();
            }

            daemon.EndIncarnation();
        }

        private void Restore(RecoveryEffect.Restore restore)
        {
            if (restore.Own is { } own)
            {
                Restore(Find(daemon.Host, own.Epoch), isAttached: true);
            }

            foreach (AdoptedMember lost in restore.Adopted)
            {
                Restore(Find(daemon.World.Host(lost.Node), lost.Epoch), isAttached: false);
            }
        }

        private void Restore(SimulatedCheckpoint checkpoint, bool isAttached)
        {
            foreach ((Guid uuid, Account account) in checkpoint.Domains)
            {
                daemon.Host.Add(new SimulatedDomain(uuid, account, daemon.World.NextLife()) { IsPaused = true }, isAttached);
                _restored.Add(uuid);
            }
        }

        private long Adopt(RecoveryEffect.AdoptDomains adopt)
        {
            daemon.Host.Adopted.AddRange(adopt.Adopted.Select(lost => (lost.Node, lost.Epoch)));
            Adoption[] adoptions =
            [
                .. adopt.Adopted.Select(lost => new Adoption(
                    lost.Node, Find(daemon.World.Host(lost.Node), lost.Epoch).Channels, lost.Node, [.. lost.Domains])),
            ];
            return daemon.Core.Adopt(adoptions, [.. adoptions.Select(a => ChannelState.Decode(a.State))], adopt.Line);
        }
    }
}
