using Done = XenTwoLevelCkpt.Daemon.Recovery.EffectOutcome.Done;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>The steps of a node that takes a checkpoint where the line needs one, and goes on.</summary>
internal static class GoOn
{
    /// <summary>What the steps know.</summary>
    /// <param name="Part">What is carried out.</param>
    /// <param name="Record">The record on disk once <see cref="WritePending"/> is done.</param>
    /// <param name="Messages">The messages as they are.</param>
    internal sealed record State(GoOnPart Part, NodeRecord Record, MessagesState Messages)
    {
        /// <summary>Batches that were delivered again.</summary>
        public long Delivered { get; init; }
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
        protected override RecoveryExecution Next(Done outcome) =>

            // In the order's incarnation already, where the same call was interrupted: frames may move in it.
            State.Messages.Incarnation == State.Part.Order.Incarnation ? Survived(State) : new StopMessages(State);
    }

    /// <summary>Before: pending. After: as before, and no frame moves.</summary>
    internal sealed record StopMessages(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.PendingWritten;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StopMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Survive(State);
    }

    /// <summary>Before: pending. After: as before, and the channel log has begun the incarnation. Where no domains come here, frames
    /// move in it: a node that ends from here on can only go back, in an incarnation after this one.</summary>
    internal sealed record Survive(State State) : RecoveryExecution<EffectOutcome.Messages>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Quiesced;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.Survive(
            State.Part.Order.Line, State.Part.Order.Incarnation, State.Part.Departures(State.Record.Departures), State.Part.Adopts);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Messages outcome) => Survived(State with { Messages = outcome.Now });
    }

    /// <summary>Before: pending. After: as before, and a checkpoint of the line is in the store.</summary>
    internal sealed record TakeRaisingCheckpoint(State State) : RecoveryExecution<EffectOutcome.Messages>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.RolledBack;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.TakeRaisingCheckpoint();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Messages outcome) => Raised(State with { Messages = outcome.Now });
    }

    /// <summary>Before and after: pending. The node's own checkpoint of the line is without these domains, as where it goes back.</summary>
    internal sealed record Destroy(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Raised;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.Destroy([.. State.Part.AdoptedDomains]);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Restore(State);
    }

    /// <summary>Before and after: pending. The domains are paused after it.</summary>
    internal sealed record Restore(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Destroyed;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.Restore(null, State.Part.Adopted);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new AdoptDomains(State);
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record AdoptDomains(State State) : RecoveryExecution<EffectOutcome.Messages>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.Restored;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.AdoptDomains(State.Part.Adopted, State.Part.Order.Line);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Messages outcome) =>
            new KeepRestored(State with { Messages = outcome.Now, Delivered = outcome.Delivered });
    }

    /// <summary>Before and after: pending. What was on its way to the domains is theirs, and does not come a second time: they stay if the
    /// rest fails.</summary>
    internal sealed record KeepRestored(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.KeepRestored();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new ResumeMessages(State);
    }

    /// <summary>Before and after: pending. Frames move in the incarnation, which the channel log has.</summary>
    internal sealed record ResumeMessages(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.ResumeMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new LetRun(State);
    }

    /// <summary>Before and after: pending. The domains run in the incarnation that the channel log has begun: a node that ends from
    /// here on can only go back, in an incarnation after this one.</summary>
    internal sealed record LetRun(State State) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.LetRun([.. State.Part.AdoptedDomains]);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new ComposeAnswer(State);
    }

    /// <summary>Before and after: pending.</summary>
    internal sealed record ComposeAnswer(State State) : RecoveryExecution<EffectOutcome.Composed>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => State.Part.Adopts ? null : RecoverStep.Raised;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.ComposeAnswer(State.Part, State.Delivered);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Composed outcome) =>
            new WriteEnd(State, State.Record.Ended(State.Part, outcome));
    }

    /// <summary>Before: pending. After: the incarnation has begun on disk, and nothing is left to do there.</summary>
    internal sealed record WriteEnd(State State, NodeRecord Ended) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(Ended);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Rest.StartMessages(State.Part, RecoverStep.EndWritten);
    }

    // Domains that came here in a call that failed then run before the node's next checkpoint: it has to have them.
    private static RecoveryExecution Survived(State state) =>
        state.Part.Adopts && !state.Messages.AwaitsAdoption ? new ResumeMessages(state)
        : state.Messages.Raises ? new TakeRaisingCheckpoint(state)
        : Raised(state);

    private static RecoveryExecution Raised(State state) =>
        state.Messages.AwaitsAdoption ? new Destroy(state) : new ComposeAnswer(state);
}
