using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Protocol.Family;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Channels;

/// <summary>
/// The messages of a node over gRPC: frames of the uplink travel in batches that carry the node's index, in one stream
/// between each two nodes; the gate holds what a checkpoint has to precede; what crosses a line goes to the channel log.
/// docs/protocol.md tells the rules and why they suffice.
/// </summary>
/// <remarks>Thread-safe.</remarks>
public abstract class NodeMessenger : INodeMessages
{
    /// <summary>The protocols that a messenger runs: those whose messages carry one index.</summary>
    public static IReadOnlyList<string> Protocols { get; } =
        [Bcs.Traits.Name, ManivannanSinghal.Traits.Name, LazyBcs.Traits.Name, BcsAftersend.Traits.Name];

    /// <inheritdoc/>
    public abstract long Index { get; }

    /// <inheritdoc/>
    public abstract int Incarnation { get; }

    /// <inheritdoc/>
    public abstract long SavedIndex { get; }

    /// <inheritdoc/>
    public abstract long DurableIndex { get; set; }

    /// <inheritdoc/>
    public abstract long OldestKept { get; set; }

    /// <inheritdoc/>
    public abstract int SettledIncarnation { get; set; }

    /// <inheritdoc/>
    public abstract FrameLosses Losses { get; }

    /// <inheritdoc/>
    public abstract IReadOnlyList<PeerStatus> Peers { get; }

    /// <inheritdoc/>
    public abstract bool AwaitsRecovery { get; }

    internal abstract ChannelLog Log { get; }

    /// <inheritdoc/>
    public abstract void KnowGuests(IReadOnlyCollection<ulong> addresses);

    /// <summary>Makes the messenger of a node; nothing is connected before <see cref="Start"/>.</summary>
    /// <param name="protocol">One of <see cref="Protocols"/>.</param>
    /// <param name="options">The cluster, and limits.</param>
    /// <param name="uplink">The local guests; not disposed with the messenger.</param>
    /// <param name="checkpoints">Takes the node's checkpoints.</param>
    /// <param name="logger">Gets what happens to links.</param>
    /// <exception cref="ArgumentException">There is no such protocol, or the options contradict each other.</exception>
    /// <exception cref="InvalidDataException">The channel log is damaged.</exception>
    /// <exception cref="IOException">The channel log or the trace cannot be opened.</exception>
    public static NodeMessenger Create(
        string protocol, NodeMessengerOptions options, IUplink uplink, INodeCheckpoints checkpoints, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(uplink);
        ArgumentNullException.ThrowIfNull(checkpoints);
        ArgumentNullException.ThrowIfNull(logger);
        if (options.Mistake() is { } mistake)
        {
            throw new ArgumentException(mistake, nameof(options));
        }

        return protocol switch
        {
            _ when protocol == Bcs.Traits.Name => new NodeMessenger<Bcs>(options, uplink, checkpoints, logger),
            _ when protocol == ManivannanSinghal.Traits.Name =>
                new NodeMessenger<ManivannanSinghal>(options, uplink, checkpoints, logger),
            _ when protocol == LazyBcs.Traits.Name => new NodeMessenger<LazyBcs>(options, uplink, checkpoints, logger),
            _ when protocol == BcsAftersend.Traits.Name =>
                new NodeMessenger<BcsAftersend>(options, uplink, checkpoints, logger),
            _ => throw new ArgumentException(
                $"Nodes do not speak '{protocol}'; they speak {string.Join(", ", Protocols)}.", nameof(protocol)),
        };
    }

    /// <summary>Serves a stream that another node opened; ends with it.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="call">Cancelled when the stream's call is over.</param>
    /// <param name="stopping">Cancelled when the server is to stop.</param>
    /// <exception cref="StatusException">The stream ends as node_channel.proto says.</exception>
    internal abstract Task ServeAsync(ChannelStream stream, CancellationToken call, CancellationToken stopping);

    /// <inheritdoc/>
    public abstract void Start();

    /// <inheritdoc/>
    public abstract bool Tick(CheckpointCause cause);

    /// <inheritdoc/>
    public abstract void Retry();

    /// <inheritdoc/>
    public abstract void Suspended();

    /// <inheritdoc/>
    public abstract ReadOnlyMemory<byte> TakeState();

    /// <inheritdoc/>
    public abstract void CheckpointDone();

    /// <inheritdoc/>
    public abstract void CheckpointFailed();

    /// <inheritdoc/>
    public abstract void Quiesce();

    /// <inheritdoc/>
    public abstract long RollBack(
        ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false);

    /// <inheritdoc/>
    public abstract void Resume();

    /// <inheritdoc/>
    public abstract bool Survive(
        long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false);

    /// <inheritdoc/>
    public abstract bool AwaitsAdoption { get; }

    /// <inheritdoc/>
    public abstract long Adopt(IReadOnlyList<Adoption> adoptions, long line);

    /// <inheritdoc/>
    public abstract string? ToSettle { get; }

    /// <inheritdoc/>
    public abstract void Settle(string node);

    /// <summary>The lost nodes whose domains a node had at a checkpoint.</summary>
    /// <param name="state">What its <see cref="TakeState"/> gave; empty for the initial state.</param>
    /// <exception cref="InvalidDataException">It is something else, or damaged.</exception>
    public static IReadOnlyList<string> LostIn(ReadOnlyMemory<byte> state) =>
        state.IsEmpty ? [] : Array.ConvertAll(ChannelState.Decode(state).Hosted, hosted => hosted.Name);

    /// <summary>The incarnation that a lost node was in.</summary>
    /// <param name="logDirectory">Its channel log; one that is not there is an empty log.</param>
    /// <exception cref="InvalidDataException">A file is missing.</exception>
    /// <exception cref="IOException">The files cannot be read.</exception>
    public static int IncarnationOf(string logDirectory) =>
        Directory.Exists(logDirectory) ? LogReplay.Incarnation(LogSegment.List(logDirectory)) : 0;

    /// <inheritdoc/>
    public abstract ValueTask<ReadOnlyMemory<byte>?> ParkAsync();

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}
