using System.Text.Json;
using System.Text.Json.Serialization;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.NativeInterop.Files;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A recovery that has begun and not ended.</summary>
/// <param name="Order">What is to be done.</param>
/// <param name="RollsBack">True where the node's domains go back; false where it takes a checkpoint and goes on. Decided once:
/// the index from which it follows may change before the call is made again.</param>
internal sealed record PendingRecovery(RecoveryOrder Order, bool RollsBack);

/// <summary>The recovery that ended last.</summary>
/// <param name="Order">What was done.</param>
/// <param name="Response">What was answered: a RecoverResponse in protobuf's bytes.</param>
internal sealed record LastRecovery(RecoveryOrder Order, byte[] Response);

/// <summary>Checkpoints of a past that a recovery has rolled back.</summary>
/// <param name="After">Those of later epochs than this one,</param>
/// <param name="Through">up to this one.</param>
internal sealed record DiscardedEpochs(ulong After, ulong Through);

/// <summary>Channels that wait for the next process (<see cref="NodeStateFile.ReadParked"/>), and what has to be so for it to take them up.
/// </summary>
/// <param name="Life">That of the domains (<see cref="INodePlatform.Life"/>).</param>
/// <param name="Epoch">The store's last checkpoint; 0 for none.</param>
/// <param name="Domains">The domains that were there: their numbers by UUID. One that was restored or created anew since has
/// another number.</param>
internal sealed record ParkedLife(string Life, ulong Epoch, IReadOnlyDictionary<Guid, int> Domains);

/// <summary>What a node has to know after a restart, beside its store.</summary>
internal sealed record NodeRecord
{
    /// <summary>The node's index when this was written; the store may have a higher one.</summary>
    public long Index { get; init; }

    /// <summary>The node's incarnation.</summary>
    public int Incarnation { get; init; }

    /// <summary>The recovery that is promised and has not begun; null for none.</summary>
    public RecoveryOrder? Promised { get; init; }

    /// <summary>The least line of the recoveries that were promised since one ended last: one of them may have begun on a node that is
    /// lost. Null for none.</summary>
    public long? LeastPromised { get; init; }

    /// <summary>The recovery that is under way; null for none.</summary>
    public PendingRecovery? Pending { get; init; }

    /// <summary>The recovery that ended last; null for none.</summary>
    public LastRecovery? Last { get; init; }

    /// <summary>Checkpoints that are still to be removed; null for none.</summary>
    public DiscardedEpochs? Discarded { get; init; }

    /// <summary>What the process before this one parked; null where it was not stopped in good order.</summary>
    public ParkedLife? Parked { get; init; }

    /// <summary>The nodes of the cluster that are lost.</summary>
    public IReadOnlyList<Departure> Departures { get; init; } = [];

    /// <summary>Restored domains that are still to be let run, by UUID.</summary>
    public IReadOnlyList<Guid> Paused { get; init; } = [];
}

/// <summary>The node's state on disk: each change is there as a whole or not at all.</summary>
internal sealed class NodeStateFile
{
    private const string FileName = "node.json";

    private readonly string _directory;

    private NodeStateFile(string directory, NodeRecord state)
    {
        _directory = directory;
        State = state;
    }

    /// <summary>The state.</summary>
    internal NodeRecord State { get; private set; }

    /// <summary>Reads the state.</summary>
    /// <param name="directory">The state directory; made where it is missing.</param>
    /// <exception cref="InvalidDataException">The file makes no sense: without it the node does not know its
    /// incarnation.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal static NodeStateFile Open(string directory)
    {
        _ = Directory.CreateDirectory(
            directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
        {
            return new NodeStateFile(directory, new NodeRecord());
        }

        try
        {
            return new NodeStateFile(
                directory,
                JsonSerializer.Deserialize(File.ReadAllBytes(path), NodeStateJson.Default.NodeRecord)
                    ?? throw new InvalidDataException($"{path} is empty."));
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{path} makes no sense: {e.Message}. It tells the node's incarnation; put the file back, or remove it where "
                + "the cluster has never recovered.", e);
        }
    }

    /// <summary>Writes channels down for the next process, which finds them by <see cref="NodeRecord.Parked"/>.</summary>
    /// <exception cref="IOException">They could not be written.</exception>
    internal void Park(ReadOnlyMemory<byte> channels, ParkedLife life)
    {
        DurableFile.Replace(ParkedPath, stream => stream.Write(channels.Span));
        Write(State with { Parked = life });
    }

    /// <summary>The channels that <see cref="Park"/> wrote down.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    internal ReadOnlyMemory<byte> ReadParked() => File.ReadAllBytes(ParkedPath);

    /// <summary>They are taken up, once, or are none any more.</summary>
    /// <exception cref="IOException">The state could not be written.</exception>
    internal void Unpark()
    {
        Write(State with { Parked = null });
        File.Delete(ParkedPath);
    }

    private string ParkedPath => Path.Combine(_directory, "channels.parked");

    /// <summary>Replaces the state; it is on disk when this returns.</summary>
    /// <exception cref="IOException">It could not be written; the old one stands.</exception>
    internal void Write(NodeRecord state)
    {
        DurableFile.Replace(
            Path.Combine(_directory, FileName),
            stream => JsonSerializer.Serialize(stream, state, NodeStateJson.Default.NodeRecord));
        State = state;
    }
}

/// <summary>Serialisers made at build time.</summary>
[JsonSerializable(typeof(NodeRecord))]
internal sealed partial class NodeStateJson : JsonSerializerContext;
