using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>One thing that a node does in a recovery. What carries it out answers with an <see cref="EffectOutcome"/>, or fails.</summary>
internal abstract record RecoveryEffect
{
    private RecoveryEffect()
    {
    }

    /// <summary>Replaces the node's record. Done once it is on disk. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    /// <param name="Record">The new record.</param>
    internal sealed record WriteRecord(NodeRecord Record) : RecoveryEffect;

    /// <summary>Stops all frames, and gives up a checkpoint that has begun. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record StopMessages : RecoveryEffect;

    /// <summary>Ends what takes checkpoints and what tidies the store. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record CloseCheckpointer : RecoveryEffect;

    /// <summary>Resumes domains that a checkpoint left suspended, and switches dirty logs off. Outcome:
    /// <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record UndoLogs : RecoveryEffect;

    /// <summary>Destroys domains; one that is not there is gone already. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    /// <param name="Domains">The domains, by UUID.</param>
    internal sealed record Destroy(IReadOnlyList<Guid> Domains) : RecoveryEffect;

    /// <summary>Restores the domains of checkpoints, paused. Where a later effect fails before <see cref="KeepRestored"/> or
    /// <see cref="LetRun"/>, they are removed again; where the process ends, they may stay, paused. Outcome:
    /// <see cref="EffectOutcome.Done"/>.</summary>
    /// <param name="Own">The node's own checkpoint; null where its domains go on.</param>
    /// <param name="Adopted">Those of lost nodes.</param>
    internal sealed record Restore(LineMember? Own, IReadOnlyList<AdoptedMember> Adopted) : RecoveryEffect;

    /// <summary><see cref="INodeMessages.RollBack"/>. Outcome: <see cref="EffectOutcome.Messages"/>.</summary>
    /// <param name="Member">The checkpoint whose channels come back.</param>
    /// <param name="Line">k.</param>
    /// <param name="Incarnation">The incarnation that begins.</param>
    /// <param name="Departures">All nodes that are lost.</param>
    /// <param name="Adopts">True where <see cref="AdoptDomains"/> comes next.</param>
    internal sealed record RollBackMessages(
        LineMember Member, long Line, int Incarnation, IReadOnlyList<Departure> Departures, bool Adopts) : RecoveryEffect;

    /// <summary><see cref="INodeMessages.Survive"/>. Outcome: <see cref="EffectOutcome.Messages"/>.</summary>
    /// <param name="Line">k.</param>
    /// <param name="Incarnation">The incarnation that begins.</param>
    /// <param name="Departures">All nodes that are lost.</param>
    /// <param name="Adopts">True where <see cref="AdoptDomains"/> comes before frames are carried.</param>
    internal sealed record Survive(
        long Line, int Incarnation, IReadOnlyList<Departure> Departures, bool Adopts) : RecoveryEffect;

    /// <summary>Takes the checkpoint that has begun, again and again until it is in the store. Outcome:
    /// <see cref="EffectOutcome.Messages"/>.</summary>
    internal sealed record TakeRaisingCheckpoint : RecoveryEffect;

    /// <summary><see cref="INodeMessages.Adopt"/>. Outcome: <see cref="EffectOutcome.Messages"/>.</summary>
    /// <param name="Adopted">The lost nodes, whose domains are restored and paused.</param>
    /// <param name="Line">k.</param>
    internal sealed record AdoptDomains(IReadOnlyList<AdoptedMember> Adopted, long Line) : RecoveryEffect;

    /// <summary>Puts together what the caller is answered, also when the same call is made again. Changes nothing. Outcome:
    /// <see cref="EffectOutcome.Composed"/>.</summary>
    /// <param name="Part">What was carried out.</param>
    /// <param name="Delivered">How many batches were delivered again.</param>
    internal sealed record ComposeAnswer(RecoveryPart Part, long Delivered) : RecoveryEffect;

    /// <summary>The restored domains stay whatever happens to the rest. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record KeepRestored : RecoveryEffect;

    /// <summary>Removes checkpoints, newest first. Outcome: <see cref="EffectOutcome.Removed"/>.</summary>
    /// <param name="Epochs">Which.</param>
    internal sealed record RemoveDiscarded(DiscardedEpochs Epochs) : RecoveryEffect;

    /// <summary>The node's index is durable, and the peers are told so. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record TellDurable : RecoveryEffect;

    /// <summary>Begins to take checkpoints and to tidy the store, where that is closed. Outcome: <see cref="EffectOutcome.Done"/>.
    /// </summary>
    internal sealed record OpenCheckpointer : RecoveryEffect;

    /// <summary>Lets restored domains run that are paused; one that is not there is left out. Outcome:
    /// <see cref="EffectOutcome.Done"/>.</summary>
    /// <param name="Domains">The domains, by UUID.</param>
    internal sealed record LetRun(IReadOnlyList<Guid> Domains) : RecoveryEffect;

    /// <summary><see cref="INodeMessages.Resume"/>: messages that were started before carry frames. Outcome:
    /// <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record ResumeMessages : RecoveryEffect;

    /// <summary>Messages carry frames, and are started where they were not. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record StartMessages : RecoveryEffect;

    /// <summary>Makes the messages from the record, the store and the channel log, in the place of those that are there. They
    /// are in the incarnation that the record has. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record MakeMessages : RecoveryEffect;

    /// <summary>The next basic checkpoint is due at once, where the node takes any: until all nodes have checkpoints with the
    /// moved domains in their new place, another failure brings those back. Outcome: <see cref="EffectOutcome.Done"/>.</summary>
    internal sealed record CheckpointSoon : RecoveryEffect;
}

/// <summary>What came of a <see cref="RecoveryEffect"/> that did not fail.</summary>
internal abstract record EffectOutcome
{
    private EffectOutcome()
    {
    }

    /// <summary>It is done, and there is no more to say.</summary>
    internal sealed record Done : EffectOutcome
    {
        /// <summary>The only one.</summary>
        public static Done Value { get; } = new();
    }

    /// <summary>The messages have changed.</summary>
    /// <param name="Now">What they are now.</param>
    /// <param name="Delivered">Batches that are delivered again.</param>
    internal sealed record Messages(MessagesState Now, long Delivered = 0) : EffectOutcome;

    /// <summary>The answer is there.</summary>
    /// <param name="Index">The node's index.</param>
    /// <param name="Response">The answer in the form that the record keeps.</param>
    internal sealed record Composed(long Index, byte[] Response) : EffectOutcome;

    /// <summary>Checkpoints are removed.</summary>
    /// <param name="All">False where one could not be removed yet.</param>
    internal sealed record Removed(bool All) : EffectOutcome;
}
