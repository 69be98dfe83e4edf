namespace XenTwoLevelCkpt.Channels;

/// <summary>Why a checkpoint is taken.</summary>
public enum CheckpointCause
{
    /// <summary>Somebody asked for it.</summary>
    Requested,

    /// <summary>The node's timer.</summary>
    Basic,

    /// <summary>A batch with a higher index waits for it.</summary>
    Forced,

    /// <summary>A recovery raises the index.</summary>
    Recovery,
}

/// <summary>A message that forces a checkpoint.</summary>
/// <param name="From">The node that sent it.</param>
/// <param name="Index">The index that it carries.</param>
public sealed record ForcingMessage(string From, long Index);

/// <summary>What the messages between nodes ask of the node's checkpoints. Implemented by the daemon.</summary>
public interface INodeCheckpoints
{
    /// <summary>A checkpoint has to be taken now. Returns at once; the end is told by exactly one of
    /// <see cref="INodeMessages.CheckpointDone"/> and <see cref="INodeMessages.CheckpointFailed"/>, never from inside this
    /// call. There is no second one before that.</summary>
    /// <param name="label">The label, set before anything is saved.</param>
    /// <param name="cause">Why.</param>
    /// <param name="forcedBy">The message that forces it; null for another cause.</param>
    void Begin(long label, CheckpointCause cause, ForcingMessage? forcedBy);
}

/// <summary>A link to another node as it is seen from this one.</summary>
/// <param name="Name">The other node's name.</param>
/// <param name="Connected">True while a stream is open, or the node is lost and its domains are here.</param>
/// <param name="Index">The index that it last told.</param>
/// <param name="DurableIndex">The durable index that it last told.</param>
/// <param name="Incarnation">The incarnation that it last told.</param>
/// <param name="LastHeard">When it was last heard of; null where it never was.</param>
/// <param name="Unacknowledged">Batches that are sent and not acknowledged.</param>
/// <param name="Problem">What is wrong with the link, as a sentence; null where nothing is.</param>
public sealed record PeerStatus(
    string Name, bool Connected, long Index, long DurableIndex, int Incarnation, DateTimeOffset? LastHeard,
    int Unacknowledged, string? Problem)
{
    /// <summary>What it last told of lost nodes that are settled (<see cref="INodeMessages.SettledIncarnation"/>).</summary>
    public int SettledIncarnation { get; init; }
}

/// <summary>
/// The messages between this node and its peers, as the node's checkpoints see them: the communication-induced module of the
/// two-level scheme (section 4.2 of the paper) and the channels below it.
/// </summary>
/// <remarks>
/// <para>The order of a checkpoint: <see cref="INodeCheckpoints.Begin"/>; then, with all domains suspended,
/// <see cref="Suspended"/>; the domains resume; <see cref="TakeState"/>; last <see cref="CheckpointDone"/> or
/// <see cref="CheckpointFailed"/>. Nothing is delivered from the beginning to the end. What guests send from
/// <see cref="Suspended"/> on is of the time after the checkpoint: it waits for the end, and leaves with the new index, or
/// with the old one where there is no checkpoint.</para>
/// <para>Thread-safe.</para>
/// </remarks>
public interface INodeMessages : IAsyncDisposable
{
    /// <summary>The node's index: that of its last checkpoint.</summary>
    long Index { get; }

    /// <summary>The node's incarnation: how often the cluster has recovered.</summary>
    int Incarnation { get; }

    /// <summary>True where the node has been running before and its channels are gone with the process: it carries nothing
    /// until <see cref="RollBack"/>.</summary>
    bool AwaitsRecovery { get; }

    /// <summary>The index of the last checkpoint. It is below <see cref="Index"/> where that has risen without one, with a protocol whose
    /// lines are <see cref="Protocol.LineRule.LastBeforeReaching"/>.</summary>
    long SavedIndex { get; }

    /// <summary>The greatest index whose checkpoint is durable; told to the peers.</summary>
    long DurableIndex { get; set; }

    /// <summary>The index of the oldest checkpoint that the node's store keeps: the channel log keeps what a recovery to it delivers
    /// again, also where no failure takes the cluster back as far. <see cref="long.MaxValue"/> until it is said.</summary>
    long OldestKept { get; set; }

    /// <summary>The incarnation of the last recovery that brought lost nodes' domains up somewhere, where this node has on disk that all
    /// of them are there for good; 0 otherwise. Told to the peers.</summary>
    int SettledIncarnation { get; set; }

    /// <summary>Frames that did not get where they should.</summary>
    FrameLosses Losses { get; }

    /// <summary>The links, in the order of the peers' names; empty on a node on its own.</summary>
    IReadOnlyList<PeerStatus> Peers { get; }

    /// <summary>Begins to connect, and to carry frames.</summary>
    void Start();

    /// <summary>The timer for basic checkpoints has fired, or somebody asks for a checkpoint.</summary>
    /// <param name="cause">Why.</param>
    /// <returns>True where a checkpoint begins; false where the protocol skips this one, or one is being taken.</returns>
    bool Tick(CheckpointCause cause);

    /// <summary>The addresses that local guests were given: frames from others have one limit together.</summary>
    /// <param name="addresses">Six octets each, the first one uppermost.</param>
    void KnowGuests(IReadOnlyCollection<ulong> addresses);

    /// <summary>Asks again about the batches that wait, some time after a checkpoint failed.</summary>
    void Retry();

    /// <summary>All domains are suspended: what they sent before leaves with the old index. Short; called once in each
    /// attempt to take a checkpoint, and the last call counts.</summary>
    void Suspended();

    /// <summary>The node's channel state (com) as it was at <see cref="Suspended"/>: for the checkpoint's image.</summary>
    ReadOnlyMemory<byte> TakeState();

    /// <summary>The checkpoint is saved: its label is the index now, and what waits goes on.</summary>
    void CheckpointDone();

    /// <summary>The checkpoint is not saved. A batch that forced it goes on waiting.</summary>
    void CheckpointFailed();

    /// <summary>Stops all frames for a recovery, until <see cref="Resume"/> or <see cref="Survive"/>. A checkpoint that
    /// is being taken has to be ended first.</summary>
    void Quiesce();

    /// <summary>The node's domains have been put back to a checkpoint, and do not run yet: begins the incarnation with the
    /// channels of that checkpoint. What crosses the line is delivered again from the channel log. Nothing is carried before
    /// <see cref="Resume"/>; until then the same call may be made again, also by the process after this one.</summary>
    /// <param name="state">What <see cref="TakeState"/> gave for that checkpoint; empty for the initial state.</param>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="lost">All nodes that are lost; null for no news.</param>
    /// <param name="adopts">True where the domains of a lost node come here: <see cref="Adopt"/> comes next, and delivers again.
    /// </param>
    /// <returns>Batches that are delivered again.</returns>
    long RollBack(
        ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false);

    /// <summary>Carries frames after <see cref="RollBack"/> or <see cref="Adopt"/>: what this node says and takes now is of the
    /// incarnation, so that it has to be known on disk that it has begun. Does nothing before <see cref="Start"/>, and where
    /// frames are carried.</summary>
    void Resume();

    /// <summary>The node goes on in a new incarnation, with a checkpoint first where its index is below the line
    /// (<see cref="INodeCheckpoints.Begin"/> is called).</summary>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="lost">All nodes that are lost; null for no news.</param>
    /// <param name="adopts">True where the domains of a lost node come here: nothing is carried before <see cref="Adopt"/>, which
    /// comes after that checkpoint, and <see cref="Resume"/>.</param>
    /// <returns>True where a checkpoint begins.</returns>
    bool Survive(long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false);

    /// <summary>True from a <see cref="RollBack"/> or <see cref="Survive"/> after which domains of a lost node come here to their
    /// <see cref="Adopt"/>.</summary>
    bool AwaitsAdoption { get; }

    /// <summary>The domains of lost nodes have been put back here to their checkpoints of the line, and do not run yet; this node has
    /// reached the line in <see cref="RollBack"/> or <see cref="Survive"/>, and carries nothing yet. What crossed the line to a
    /// lost node is delivered again from its channel log; what was on its way between it and this node, or another one of them, is
    /// delivered; what was on its way between it and others comes here, and goes to them, from now on.</summary>
    /// <param name="adoptions">What is left of the lost nodes: all whose domains come here with this recovery.</param>
    /// <param name="line">k.</param>
    /// <returns>Batches that are delivered.</returns>
    /// <exception cref="ArgumentException">One is not known as lost, with its domains here.</exception>
    /// <exception cref="InvalidDataException">A state or a log is damaged.</exception>
    /// <exception cref="IOException">A log cannot be read.</exception>
    long Adopt(IReadOnlyList<Adoption> adoptions, long line);

    /// <summary>A lost node whose domains are here, and are so in every line that a failure can still take the cluster back to, as
    /// the peers have told of their checkpoints; null for none. Until <see cref="Settle"/> everybody keeps what a recovery
    /// needs that brings them here once more.</summary>
    string? ToSettle { get; }

    /// <summary>It is known on disk that a lost node is settled (<see cref="Departure.Settled"/>).</summary>
    /// <param name="node">The lost node.</param>
    void Settle(string node);

    /// <summary>Ends the messages, as disposing of them does, for a stop of the daemon while the guests run on.</summary>
    /// <returns>What the messages of the next process go on with (<see cref="NodeMessengerOptions.Parked"/>), once; null where
    /// there is nothing to go on with: no frames are carried, or the channel log is not whole.</returns>
    ValueTask<ReadOnlyMemory<byte>?> ParkAsync();
}
