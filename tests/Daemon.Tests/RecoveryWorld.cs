using System.Text.Json;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>How a recovery is interrupted at one of its effects.</summary>
public enum Interruption
{
    /// <summary>The effect fails, with nothing done.</summary>
    Fails,

    /// <summary>The effect is done, and fails all the same.</summary>
    FailsDone,

    /// <summary>The process ends before the effect.</summary>
    Ends,

    /// <summary>The process ends behind the effect.</summary>
    EndsDone,
}

/// <summary>A node without any: its record, its store, its domains and its messages as values. It carries out the effects of a recovery
/// one by one, and checks the rules that have to hold at each.</summary>
internal sealed class RecoveryWorld
{
    internal static readonly Guid A = new(1, 0, 0, new byte[8]);
    internal static readonly Guid B = new(2, 0, 0, new byte[8]);
    internal static readonly Guid Newcomer = new(3, 0, 0, new byte[8]);
    internal static readonly Guid X = new(4, 0, 0, new byte[8]);
    internal static readonly Guid Y = new(5, 0, 0, new byte[8]);

    private readonly HashSet<Guid> _unkept = [];
    private int _logged;
    private bool _started;
    private bool _carries;
    private bool _isOpen;

    /// <summary>True on a node without peers.</summary>
    internal bool IsAlone { get; init; }

    /// <summary>False where the protocol raises the index without a checkpoint.</summary>
    internal bool Raises { get; init; } = true;

    /// <summary>The record as the process knows it: where a write is done and fails all the same, the one before.</summary>
    internal NodeRecord Known { get; private set; } = new();

    internal NodeRecord Disk { get; private set; } = new();

    internal SortedDictionary<ulong, long> Store { get; } = new() { [1] = 1, [2] = 2, [3] = 3 };

    /// <summary>By UUID the epoch that a domain's state comes from, and whether it runs.</summary>
    internal Dictionary<Guid, (ulong Epoch, bool Runs)> Domains { get; } = new() { [A] = (3, true), [B] = (3, true), [Newcomer] = (0, true) };

    internal MessagesState Messages { get; private set; } = new(3, 0);

    internal List<RecoveryEffect> Done { get; } = [];

    /// <summary>The epoch of a checkpoint that cannot be removed yet; null for none.</summary>
    internal ulong? Held { get; set; }

    internal string Record => JsonSerializer.Serialize(Disk, NodeStateJson.Default.NodeRecord);

    /// <summary>A node that has run for a while.</summary>
    internal RecoveryWorld Started()
    {
        _started = _carries = _isOpen = true;
        return this;
    }

    /// <summary>The node is asked to carry an order out.</summary>
    /// <param name="order">The order.</param>
    /// <param name="at">The effect that is interrupted, counted from 0; -1 for none.</param>
    /// <param name="how">How.</param>
    /// <returns>True where it was interrupted.</returns>
    internal bool Ask(RecoveryOrder order, int at = -1, Interruption how = Interruption.Fails)
    {
        if (Known.Pending is null && Known.Last?.Order == order)
        {
            return false;
        }

        RecoveryPart part = Plan(order);
        RecoveryExecution? step = RecoveryExecution.Begin(Known, part, Messages);
        for (int i = 0; step is not null; i++)
        {
            if (i != at)
            {
                step = step.After(Carry(step.Effect));
                continue;
            }

            NodeRecord before = Known;
            if (how is Interruption.FailsDone or Interruption.EndsDone || (step.Effect is RecoveryEffect.KeepRestored && how == Interruption.Fails))
            {
                _ = Carry(step.Effect);
            }

            if (how is Interruption.Ends or Interruption.EndsDone)
            {
                Restart();
            }
            else
            {
                Known = before;
                Drop();
                Drive(step.AfterFailure(Known, part, Messages));
            }

            return true;
        }

        return false;
    }

    /// <summary>The process ends, and another one starts; it is ended again at one of its first effects, and starts once more.</summary>
    /// <param name="at">The effect, counted from 0; -1 for none.</param>
    internal void Restart(int at = -1)
    {
        _unkept.Clear();
        _started = _carries = _isOpen = false;
        Known = Disk;
        Messages = Messages with { Raises = false };
        RecoveryExecution? step = RecoveryExecution.AfterRestart(Known);
        for (int i = 0; step is not null; i++)
        {
            if (i == at)
            {
                Restart();
                return;
            }

            step = step.After(Carry(step.Effect));
        }

        Assert.Equal(Disk.Pending is null, _carries);
        AssertReady();
    }

    /// <summary>It takes part, or waits for the call that ends a recovery.</summary>
    internal void AssertReady()
    {
        Assert.True(_isOpen);
        if (Known.Pending is null)
        {
            Assert.True(_started && _carries);
            Assert.Empty(Known.Paused);
            Assert.All(Domains.Values, d => Assert.True(d.Runs));
        }
    }

    private void Drive(RecoveryExecution? step)
    {
        while (step is not null)
        {
            step = step.After(Carry(step.Effect));
        }
    }

    private RecoveryPart Plan(RecoveryOrder order)
    {
        Assert.False(Known.Pending is { } pending && pending.Order == order && RecoveryChoices.IsLostIn(pending, Messages));
        AdoptedMember[] adopted = [.. order.Moves.Select(m => new AdoptedMember(m.Node, 7, [X, Y]))];
        if (!RecoveryChoices.RollsBack(Known.Pending, order, Messages))
        {
            return new GoOnPart(order) { IsAlone = IsAlone, Adopted = adopted };
        }

        CheckpointPoint[] points = [.. Store.Where(c => RecoveryChoices.Stands(c.Key, Known.Discarded)).Select(c => new CheckpointPoint(c.Key, c.Value))];
        CheckpointPoint member = points[RecoveryChoices.Member(points, order.Line)!.Value];
        return new RollBackPart(order, new LineMember(member.Epoch, member.Index, [A, B]), Store.Keys.Max())
        {
            IsAlone = IsAlone,
            Adopted = adopted,
            Newer = RecoveryChoices.Newer(Domains.Keys, new HashSet<Guid>([A, B, .. adopted.SelectMany(a => a.Domains)])),
        };
    }

    private EffectOutcome Carry(RecoveryEffect effect)
    {
        Done.Add(effect);
        switch (effect)
        {
            case RecoveryEffect.WriteRecord write:
                // Restored domains that the record is to know of are there.
                Assert.All(write.Record.Paused, d => Assert.True(Domains.ContainsKey(d)));
                Disk = Known = write.Record;
                break;
            case RecoveryEffect.StopMessages:
                _carries = false;
                Messages = Messages with { Raises = false };
                break;
            case RecoveryEffect.CloseCheckpointer:
                _isOpen = false;
                break;
            case RecoveryEffect.OpenCheckpointer:
                _isOpen = true;
                break;
            case RecoveryEffect.Destroy destroy:
                Assert.NotNull(Disk.Pending);
                Assert.All(destroy.Domains, d => Assert.True(Domains.ContainsKey(d) is false || !_carries));
                foreach (Guid domain in destroy.Domains)
                {
                    _ = Domains.Remove(domain);
                }

                break;
            case RecoveryEffect.Restore restore:
                Restore(restore.Own?.Domains ?? [], restore.Own?.Epoch ?? 0);
                restore.Adopted.ToList().ForEach(a => Restore(a.Domains, a.Epoch));
                break;
            case RecoveryEffect.KeepRestored:
                _unkept.Clear();
                break;
            case RecoveryEffect.RollBackMessages back:
                return Begins(back.Incarnation, Messages with { Index = back.Member.Index, AwaitsRecovery = false, AwaitsAdoption = back.Adopts });
            case RecoveryEffect.Survive on:
                Assert.False(Messages.AwaitsRecovery);
                EffectOutcome outcome = Begins(on.Incarnation, Messages with
                {
                    Index = Raises ? Messages.Index : Math.Max(Messages.Index, on.Line),
                    AwaitsAdoption = on.Adopts,
                    Raises = Raises && Messages.Index < on.Line,
                });
                _carries = _started && !on.Adopts;
                return outcome;
            case RecoveryEffect.TakeRaisingCheckpoint:
                Assert.True(_isOpen && Messages.Raises);
                Messages = Messages with { Index = Disk.Pending!.Order.Line, Raises = false };
                Store[Store.Keys.Max() + 1] = Messages.Index;
                return new EffectOutcome.Messages(Messages);
            case RecoveryEffect.AdoptDomains adopt:
                Assert.All(adopt.Adopted.SelectMany(a => a.Domains), d => Assert.False(Domains[d].Runs));
                Assert.True(Messages.AwaitsAdoption && _logged == Disk.Pending!.Order.Incarnation);
                Messages = Messages with { AwaitsAdoption = false };
                return new EffectOutcome.Messages(Messages, 3);
            case RecoveryEffect.ComposeAnswer compose:
                return new EffectOutcome.Composed(Messages.Index, [compose.Part is RollBackPart ? (byte)1 : (byte)2]);
            case RecoveryEffect.RemoveDiscarded remove:
                if (Disk.Pending is { } under)
                {
                    // The domains are gone, and nobody goes back to a later line than this one any more.
                    Assert.True(under.RollsBack && _logged < under.Order.Incarnation);
                }
                else
                {
                    Assert.Equal(remove.Epochs, Known.Discarded);
                }

                ulong[] gone = [.. Store.Keys.Where(e => e > remove.Epochs.After && e <= remove.Epochs.Through && e != Held)];
                gone.ToList().ForEach(e => Store.Remove(e));
                return new EffectOutcome.Removed(Held is null);
            case RecoveryEffect.LetRun run:
                LetRun(run.Domains);
                break;
            case RecoveryEffect.MakeMessages:
                _started = _carries = false;
                long index = Math.Max(Disk.Index, Store.Where(c => RecoveryChoices.Stands(c.Key, Disk.Discarded)).Max(c => c.Value));
                Messages = new MessagesState(index, IsAlone ? Disk.Incarnation : Math.Max(_logged, Disk.Incarnation), AwaitsRecovery: !IsAlone);
                break;
            case RecoveryEffect.ResumeMessages:
                Assert.Equal(_logged, Disk.Pending!.Order.Incarnation);
                _carries = _started;
                break;
            case RecoveryEffect.StartMessages:
                Assert.Null(Disk.Pending);
                _started = _carries = true;
                break;
            case RecoveryEffect.UndoLogs or RecoveryEffect.TellDurable or RecoveryEffect.CheckpointSoon:
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(effect));
        }

        return EffectOutcome.Done.Value;
    }

    private EffectOutcome.Messages Begins(int incarnation, MessagesState now)
    {
        Assert.NotNull(Disk.Pending);
        Assert.False(_carries);
        Assert.True(incarnation > Disk.Incarnation && incarnation >= _logged);
        _logged = incarnation;
        Messages = now with { Incarnation = incarnation };
        return new EffectOutcome.Messages(Messages, 2);
    }

    private void Restore(IReadOnlyList<Guid> domains, ulong epoch)
    {
        Assert.NotNull(Disk.Pending);
        foreach (Guid domain in domains)
        {
            // A UUID never runs twice.
            Domains.Add(domain, (epoch, false));
            _ = _unkept.Add(domain);
        }
    }

    private void LetRun(IReadOnlyList<Guid> domains)
    {
        // The node's own domains run once its record has the incarnation; a survivor's adopted ones once its channel log has it.
        Assert.True(Disk.Pending is { } pending ? !pending.RollsBack && _logged == pending.Order.Incarnation : Known.Paused.SequenceEqual(domains));
        foreach (Guid domain in domains.Where(Domains.ContainsKey))
        {
            Domains[domain] = (Domains[domain].Epoch, true);
            _ = _unkept.Remove(domain);
        }
    }

    // What a failure leaves: domains that nobody keeps are removed.
    private void Drop()
    {
        foreach (Guid domain in _unkept)
        {
            _ = Domains.Remove(domain);
        }

        _unkept.Clear();
    }
}
