using Done = XenTwoLevelCkpt.Daemon.Recovery.EffectOutcome.Done;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>The steps behind a recovery whose incarnation has begun, and behind one that was interrupted.</summary>
internal static class Rest
{
    /// <summary>What a recovery that has begun its incarnation has still to do, by its record.</summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="then">What comes behind it.</param>
    internal static RecoveryExecution Finish(NodeRecord record, Successor then) => Discard(record, new LetsRun(then));

    /// <summary>Removes the checkpoints that the record discards, where there are any.</summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="then">What comes behind it.</param>
    internal static RecoveryExecution Discard(NodeRecord record, Successor then) =>
        record.Discarded is { } gone ? new RemoveDiscarded(record, gone, then) : then.Of(record);

    /// <summary>What comes behind steps that several recoveries share.</summary>
    internal abstract record Successor
    {
        /// <summary>The next step.</summary>
        /// <param name="record">The record on disk.</param>
        internal abstract RecoveryExecution Of(NodeRecord record);
    }

    /// <summary>Domains are let run that the record has as paused.</summary>
    internal sealed record LetsRun(Successor Then) : Successor
    {
        /// <inheritdoc/>
        internal override RecoveryExecution Of(NodeRecord record) =>
            record.Paused.Count > 0 ? new LetPausedRun(record, Then) : Then.Of(record);
    }

    /// <summary>A node that starts.</summary>
    internal sealed record Starts : Successor
    {
        /// <inheritdoc/>
        internal override RecoveryExecution Of(NodeRecord record) => new MakeMessages(record);
    }

    /// <summary>The process goes on, and the incarnation has begun.</summary>
    internal sealed record GoesOn : Successor
    {
        /// <inheritdoc/>
        internal override RecoveryExecution Of(NodeRecord record) => new StartAgain();
    }

    /// <summary>Before: the incarnation has begun on disk. After: as before, and what could be removed is gone.</summary>
    internal sealed record RemoveDiscarded(NodeRecord Record, DiscardedEpochs Epochs, Successor Then)
        : RecoveryExecution<EffectOutcome.Removed>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => RecoverStep.EndWritten;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.RemoveDiscarded(Epochs);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(EffectOutcome.Removed outcome) =>
            outcome.All ? new WriteRemoved(Record with { Discarded = null }, Then) : Then.Of(Record);
    }

    /// <summary>Before: all discarded checkpoints are gone. After: the record says so.</summary>
    internal sealed record WriteRemoved(NodeRecord Record, Successor Then) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(Record);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => Then.Of(Record);
    }

    /// <summary>Before and after: begun, with domains that are still to be let run.</summary>
    internal sealed record LetPausedRun(NodeRecord Record, Successor Then) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.LetRun(Record.Paused);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new WriteRunning(Record with { Paused = [] }, Then);
    }

    /// <summary>Before: begun, with domains that are still to be let run. After: begun, and all of them run.</summary>
    internal sealed record WriteRunning(NodeRecord Record, Successor Then) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.WriteRecord(Record);

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => Then.Of(Record);
    }

    /// <summary>A node that starts. On disk nothing changes from here on.</summary>
    internal sealed record MakeMessages(NodeRecord Record) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.MakeMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new OpenCheckpointer(Record);
    }

    /// <summary>A node that starts: it takes part, or waits for the call that ends a pending recovery.</summary>
    internal sealed record OpenCheckpointer(NodeRecord Record) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.OpenCheckpointer();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => Record.Pending is null ? new StartMessages(null, null) : new StayQuiet();
    }

    /// <summary>A recovery is pending: no frame moves before it is ended.</summary>
    internal sealed record StayQuiet : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StopMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution? Next(Done outcome) => null;
    }

    /// <summary>The incarnation has begun on disk, and frames move in it from here on.</summary>
    /// <param name="Part">What was carried out; null on a node that starts.</param>
    /// <param name="At">The point that is reached.</param>
    internal sealed record StartMessages(RecoveryPart? Part, RecoverStep? At) : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoverStep? Reached => At;

        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StartMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution? Next(Done outcome) => Part?.Order.Moves.Count > 0 ? new CheckpointSoon() : null;
    }

    /// <summary>The last step where domains have moved.</summary>
    internal sealed record CheckpointSoon : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.CheckpointSoon();

        /// <inheritdoc/>
        protected override RecoveryExecution? Next(Done outcome) => null;
    }

    /// <summary>After a failure behind the end of a recovery: frames move again.</summary>
    internal sealed record StartAgain : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StartMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Reopen();
    }

    /// <summary>After a failure between the beginning of the incarnation in the messages and its beginning on disk: the messages are
    /// of the incarnation before again.</summary>
    internal sealed record MakeMessagesAgain : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.MakeMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new StopMessagesAgain();
    }

    /// <summary>No frame moves before the pending recovery is ended.</summary>
    internal sealed record StopMessagesAgain : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.StopMessages();

        /// <inheritdoc/>
        protected override RecoveryExecution Next(Done outcome) => new Reopen();
    }

    /// <summary>After a failure: domains' dirty pages are followed again, for the node's next checkpoint.</summary>
    internal sealed record Reopen : RecoveryExecution<Done>
    {
        /// <inheritdoc/>
        public override RecoveryEffect Effect => new RecoveryEffect.OpenCheckpointer();

        /// <inheritdoc/>
        protected override RecoveryExecution? Next(Done outcome) => null;
    }
}
