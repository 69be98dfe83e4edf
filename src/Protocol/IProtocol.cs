namespace XenTwoLevelCkpt.Protocol;

/// <summary>
/// One node's side of a checkpoint protocol: a pure state machine without clock, I/O or threads. The implementing struct
/// is the node's whole state, so a host with many nodes keeps an array of it, and calls through the type parameter are
/// direct.
/// </summary>
/// <remarks>
/// <para>
/// Every node begins with an initial checkpoint of index 0, which needs no saving call. A checkpoint begins when
/// <see cref="OnTick"/>, <see cref="OnSend"/>, <see cref="OnReceive"/> or <see cref="OnRaise"/> asks for it:
/// <see cref="PendingLabel"/> is then the label that the host saves with it. The host ends it with
/// <see cref="OnCheckpointDone"/> or <see cref="OnCheckpointFailed"/>; only the former changes <see cref="Index"/>. Until
/// then whatever is sent counts as sent before the checkpoint and carries the old index, and nothing is delivered.
/// </para>
/// <para>
/// A checkpoint that fails leaves the state as if it had never begun: a message for which it was to be taken keeps
/// waiting, and asking again with <see cref="OnReceive"/> asks for the checkpoint again.
/// </para>
/// <para>One thread at a time. Copying the struct of a protocol whose piggyback is a vector shares its arrays; use
/// <see cref="Save"/>.</para>
/// </remarks>
/// <typeparam name="TSelf">The implementing struct.</typeparam>
/// <typeparam name="TPiggyback">What each message carries. A value without references for scalar protocols, of which no
/// call allocates; immutable after <see cref="OnSend"/> for all.</typeparam>
public interface IProtocol<TSelf, TPiggyback>
    where TSelf : struct, IProtocol<TSelf, TPiggyback>
{
    /// <summary>Name, source and promises of the protocol.</summary>
    static abstract ProtocolTraits Traits { get; }

    /// <summary>The state of a node that has just taken its initial checkpoint.</summary>
    /// <param name="node">The node, 0 to <paramref name="nodes"/> - 1.</param>
    /// <param name="nodes">Nodes in the system, at least 1.</param>
    static abstract TSelf Create(int node, int nodes);

    /// <summary>The index (sn, lc) that messages sent now carry; for protocols without an index, the checkpoints taken
    /// since the initial one.</summary>
    long Index { get; }

    /// <summary>The label of the checkpoint that is being taken, always at least 1; 0 while none is.</summary>
    long PendingLabel { get; }

    /// <summary>The node's timer for basic checkpoints has fired.</summary>
    /// <returns>True where a checkpoint begins; false where the protocol skips this tick, or a checkpoint is being taken
    /// already.</returns>
    bool OnTick();

    /// <summary>A message leaves for another node. The index may rise by it; the message carries <see cref="Index"/> as it
    /// is after the call.</summary>
    /// <param name="to">The receiver, 0 to nodes - 1.</param>
    /// <param name="piggyback">What the message carries.</param>
    /// <returns>True where a checkpoint begins right after this send.</returns>
    bool OnSend(int to, out TPiggyback piggyback);

    /// <summary>A message from another node is there and can be delivered. To be asked again about the same message after
    /// each checkpoint, until it says <see cref="ReceiveDecision.Deliver"/>: by that the message counts as delivered.
    /// </summary>
    /// <param name="from">The sender, 0 to nodes - 1.</param>
    /// <param name="piggyback">What the message carries.</param>
    /// <returns><see cref="ReceiveDecision.CheckpointFirst"/> where a checkpoint begins, and the message waits.</returns>
    ReceiveDecision OnReceive(int from, in TPiggyback piggyback);

    /// <summary>The index has to be at least a given one: the failure rule for survivors. Protocols whose lines are found
    /// by propagation have no such rule and do nothing.</summary>
    /// <param name="index">The index wanted.</param>
    /// <returns>True where a checkpoint begins; false where none is needed, or one is being taken (ask again after it).
    /// </returns>
    bool OnRaise(long index);

    /// <summary>The checkpoint that was being taken is saved.</summary>
    /// <returns>True where it has to be announced: the host sends an empty control message (with <see cref="OnSend"/>)
    /// to every other node, which asks <see cref="OnReceive"/> about it as about any message. Only coordinated protocols
    /// do.</returns>
    bool OnCheckpointDone();

    /// <summary>The checkpoint that was being taken is not saved and never will be. Nothing but
    /// <see cref="PendingLabel"/> changes.</summary>
    void OnCheckpointFailed();

    /// <summary>The state to save in the checkpoint that is being taken: that which holds right after
    /// <see cref="OnCheckpointDone"/>. Where none is being taken, a copy of the present state. Shares nothing with this
    /// one.</summary>
    TSelf Save();

    /// <summary>The node goes back to a checkpoint. A checkpoint being taken is forgotten.</summary>
    /// <param name="saved">What <see cref="Save"/> gave for that checkpoint; for the initial one, what
    /// <see cref="Create"/> gives. It can be used again.</param>
    /// <param name="line">k of the recovery line; the index becomes at least k. 0 where the line was found by
    /// propagation.</param>
    void OnRollback(in TSelf saved, long line);
}
