using Done = XenTwoLevelCkpt.Daemon.Recovery.EffectOutcome.Done;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>The steps of a node whose domains go back.</summary>
internal static class RollBack
{
    /// <summary>What the steps know.</summary>
    /// <param name="Part">What is carried out.</param>
    /// <param name="Record">The record on disk once <see cref="WritePending"/> is done.</param>
    internal sealed record State(RollBackPart Part, NodeRecord Record)
    {
        /// <summary>Batches that were delivered again.</summary>
        public long Delivered { get; init; }

        /// <summary>The domains that are restored, by UUID.</summary>
        public IReadOnlyList<Guid> Restored => [.. Part.Member.Domains, .. Part.AdoptedDomains];
    }

    /// <summary>Before: the promise is on disk, or the same recovery is pending. After: it is pending on disk. Nothing else changes.
    /// </summary>
    internal sealed record WritePending(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Decided;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(State.Record);

        /// <inheritdoc/>
        public override RecoveryExecution? AfterFailure(NodeRecord record, RecoveryPart part, MessagesState messages) => null;

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new StopMessages(State);
    }

    /// <summary>Before: pending. After: as before, and no frame moves.</summary>
    internal sealed record StopMessages(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.PendingWritten;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StopMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new CloseCheckpointer(State);
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record CloseCheckpointer(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Quiesced;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.CloseCheckpointer();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new UndoLogs(State);
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record UndoLogs(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.UndoLogs();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Destroy(State);
    }

    /// <summary>Before: pending. After: as before, and the domains are in the store alone.</summary>
    internal sealed record Destroy(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect =>
            new RecoveryEffect.Destroy([.. State.Part.Member.Domains, .. State.Part.Newer, .. State.Part.AdoptedDomains]);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => State.Part.LastEpoch == State.Part.Member.Epoch
            ? new Restore(State)
            : new RemoveLater(State, new DiscardedEpochs(State.Part.Member.Epoch, State.Part.LastEpoch));
    }

    /// <summary>Before and after: pending. Checkpoints of the past that is gone are removed before the channel log says that the incarnation
    /// has begun: a lost node's store and log tell so which of its checkpoints stand. No recovery comes that would go back to them: one that
    /// takes the place of this one goes to no later line.</summary>
    internal sealed record RemoveLater(State State, DiscardedEpochs Epochs) : RecoveryExecution<EffectOutcome.Removed>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.RemoveDiscarded(Epochs);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Removed outcome) => new Restore(State);
    }

    /// <summary>Before and after: pending. The domains are paused after it.</summary>
    internal sealed record Restore(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Destroyed;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.Restore(State.Part.Member, State.Part.Adopted);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new RollBackMessages(State);
    }

    /// <summary>Before: pending. After: as before, and the channel log has begun the incarnation. Nothing is sent in it yet, so that
    /// the same call may be made again.</summary>
    internal sealed record RollBackMessages(State State) : RecoveryExecution<EffectOutcome.Messages>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Restored;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.RollBackMessages(
            State.Part.Member, State.Part.Order.Line, State.Part.Order.Incarnation, State.Part.Departures(State.Record.Departures),
            State.Part.Adopts);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Messages outcome)
        {
            State next = State with { Delivered = outcome.Delivered };
            return State.Part.Adopts ? new AdoptDomains(next) : new ComposeAnswer(next);
        }
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record AdoptDomains(State State) : RecoveryExecution<EffectOutcome.Messages>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.AdoptDomains(State.Part.Adopted, State.Part.Order.Line);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Messages outcome) =>
            new ComposeAnswer(State with { Delivered = State.Delivered + outcome.Delivered });
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record ComposeAnswer(State State) : RecoveryExecution<EffectOutcome.Composed>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.RolledBack;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.ComposeAnswer(State.Part, State.Delivered);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Composed outcome) => new KeepRestored(State, State.Record.Ended(State.Part, outcome) with
        {
            Discarded = new DiscardedEpochs(State.Part.Member.Epoch, State.Part.LastEpoch),
            Paused = State.Restored,
        });
    }

    /// <summary>Before: pending. After: the incarnation has begun on disk, and the record says what is left to do: which checkpoints
    /// go, and which domains are to be let run.</summary>
    internal sealed record WriteEnd(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(Ended);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => Rest.Discard(Ended, new Discarded(State));
    }

    /// <summary>Before and after: pending. The domains stay if the rest fails: a record that was written although the writing failed knows
    /// them, and the same call destroys them first.</summary>
    internal sealed record KeepRestored(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.KeepRestored();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new WriteEnd(State, Ended);
    }

    /// <summary>Checkpoints of the past that is gone are removed.</summary>
    internal sealed record Discarded(State State) : Rest.Successor
    {
        /// <inheritdoc/>
        internal override RecoveryExecution Of(NodeRecord record) => new TellDurable(State, record);
    }

    /// <summary>Before and after: begun.</summary>
    internal sealed record TellDurable(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Discarded;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.TellDurable();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new OpenCheckpointer(State, Ended);
    }

    /// <summary>Before and after: begun.</summary>
    internal sealed record OpenCheckpointer(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.OpenCheckpointer();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new LetRun(State, Ended);
    }

    /// <summary>Before and after: begun, with domains that are still to be let run.</summary>
    internal sealed record LetRun(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.LetRun(State.Restored);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new WriteRunning(State, Ended with { Paused = [] });
    }

    /// <summary>Before: begun, with domains that are still to be let run. After: begun, and all of them run.</summary>
    internal sealed record WriteRunning(State State, NodeRecord Running) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(Running);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Rest.StartMessages(State.Part, RecoverStep.Running);
    }
}
