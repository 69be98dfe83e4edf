using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>
/// The node's part of a recovery, at one of its steps: a state machine without I/O, clock or lock. A step says which effect comes
/// now, and after its outcome which step comes next. What it says depends on its inputs alone.
/// </summary>
/// <remarks>
/// <para>The order, so that a call that ended anywhere can be made again: what is to be done is on disk; messages stop; domains of
/// the member are destroyed, and restored without running; the messages begin the incarnation; that it has begun is on disk;
/// checkpoints of the past that is gone are removed; the domains run. A domain that goes back runs in the new incarnation only
/// after the record says that it has begun: what it sends is never sent a second time in the same one.</para>
/// <para>Where an effect fails, <see cref="AfterFailure"/> has the steps that make the node ready for the same call. After a
/// restart, <see cref="AfterRestart"/> has them.</para>
/// </remarks>
internal abstract record RecoveryExecution
{
    private protected RecoveryExecution()
    {
    }

    /// <summary>What is done now.</summary>
    public abstract RecoveryEffect Effect { get; }

    /// <summary>The point that is reached before the effect; null for none that has a name.</summary>
    public virtual RecoverStep? Reached => null;

    /// <summary>What comes next.</summary>
    /// <param name="outcome">What came of the effect.</param>
    /// <returns>The next step; null where nothing is left to do.</returns>
    /// <exception cref="ArgumentException">The outcome is not one of this effect.</exception>
    public abstract RecoveryExecution? After(EffectOutcome outcome);

    /// <summary>What makes the node ready for the same call where this step's effect has failed and the process goes on.</summary>
    /// <param name="record">The record on disk: where it was being written, the old one or the new one.</param>
    /// <param name="part">What was being carried out.</param>
    /// <param name="messages">The messages as they are.</param>
    /// <returns>The first step; null where nothing is to be done.</returns>
    public virtual RecoveryExecution? AfterFailure(NodeRecord record, RecoveryPart part, MessagesState messages) =>
        record.Pending is null ? Rest.Finish(record, new Rest.GoesOn())

            // The messages have begun the incarnation, and domains that nobody has let run are gone.
            : part is RollBackPart && messages.Incarnation == part.Order.Incarnation ? new Rest.MakeMessagesAgain()
            : new Rest.Reopen();

    /// <summary>The first step of a part that is carried out, for the first time or again.</summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="part">What is to be done.</param>
    /// <param name="messages">The messages as they are.</param>
    public static RecoveryExecution Begin(NodeRecord record, RecoveryPart part, MessagesState messages) => part switch
    {
        RollBackPart back => new RollBack.WritePending(new RollBack.State(back, record.Begun(part.What))),
        GoOnPart on => new GoOn.WritePending(new GoOn.State(on, record.Begun(part.What), messages)),
        _ => throw new ArgumentOutOfRangeException(nameof(part)),
    };

    /// <summary>The first step of a node that starts, with nothing but the record: ends what a recovery that has begun its
    /// incarnation left to do, makes the messages, then takes part, or waits for the call that ends a pending recovery.</summary>
    /// <param name="record">The record on disk.</param>
    public static RecoveryExecution AfterRestart(NodeRecord record) => Rest.Finish(record, new Rest.Starts());
}

/// <summary>A step whose effect has one kind of outcome.</summary>
/// <typeparam name="TOutcome">The outcome.</typeparam>
internal abstract record RecoveryExecution<TOutcome> : RecoveryExecution
    where TOutcome : EffectOutcome
{
    /// <inheritdoc/>
    public sealed override RecoveryExecution? After(EffectOutcome outcome) => outcome is TOutcome its
        ? Next(its)
        : throw new ArgumentException($"{outcome.GetType().Name} is no outcome of {Effect.GetType().Name}.", nameof(outcome));

    /// <summary>What comes next.</summary>
    /// <param name="outcome">What came of the effect.</param>
    protected abstract RecoveryExecution? Next(TOutcome outcome);
}

/// <summary>What a recovery changes in the record.</summary>
internal static class RecordChanges
{
    /// <summary>It is promised.</summary>
    /// <param name="record">The record before.</param>
    /// <param name="order">What is promised.</param>
    internal static NodeRecord Promising(this NodeRecord record, RecoveryOrder order) => record with
    {
        Promised = order,
        LeastPromised = Math.Min(record.LeastPromised ?? order.Line, order.Line),
    };

    /// <summary>It has begun.</summary>
    /// <param name="record">The record before.</param>
    /// <param name="what">What is carried out.</param>
    internal static NodeRecord Begun(this NodeRecord record, PendingRecovery what) => record with { Pending = what, Promised = null };

    /// <summary>Its incarnation has begun.</summary>
    /// <param name="record">The record before.</param>
    /// <param name="part">What was carried out.</param>
    /// <param name="answer">The node's index, and what is answered.</param>
    internal static NodeRecord Ended(this NodeRecord record, RecoveryPart part, EffectOutcome.Composed answer) => record with
    {
        Index = answer.Index,
        Incarnation = part.Order.Incarnation,
        Promised = null,
        LeastPromised = null,
        Pending = null,
        Last = new LastRecovery(part.Order, answer.Response),
        Departures = part.Departures(record.Departures),
        Paused = [],
    };
}
