using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Another node of the cluster.</summary>
/// <param name="Name">Its name, 1 to 63 octets.</param>
/// <param name="Host">Its host name or address.</param>
/// <param name="Port">The TCP port of its daemon.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct PeerAddress(string Name, string Host, int Port);

/// <summary>What a <see cref="NodeMessenger"/> is told.</summary>
public sealed record NodeMessengerOptions
{
    /// <summary>The most octets of a node's name: a label of the DNS (RFC 1035, section 2.3.4).</summary>
    public const int MaxName = 63;

    /// <summary>The cluster: nodes of another one are refused.</summary>
    public required Guid Cluster { get; init; }

    /// <summary>This node's name.</summary>
    public required string Node { get; init; }

    /// <summary>All other nodes. Every node of a cluster has the same set of names.</summary>
    public required IReadOnlyList<PeerAddress> Peers { get; init; }

    /// <summary>Where the channel log is; it has to outlive the node, beside its checkpoints.</summary>
    public required string LogDirectory { get; init; }

    /// <summary>What <see cref="INodeMessages.ParkAsync"/> gave when the process before this one was stopped; null where it was
    /// not stopped in good order, or its guests do not run on.</summary>
    public ReadOnlyMemory<byte>? Parked { get; init; }

    /// <summary>The nodes that are lost.</summary>
    public IReadOnlyList<Departure> Lost { get; init; } = [];

    /// <summary>The file of the node's trace (docs/trace-format.md); null for none.</summary>
    public string? TracePath { get; init; }

    /// <summary>The most octets of frames that are sent to a peer and not acknowledged. 16 MiB fill a link of 10 Gb/s for
    /// 13 ms; where they are used up, the guests' frames for that peer wait.</summary>
    public long WindowBytes { get; init; } = 16 << 20;

    /// <summary>The most octets of frames that wait for room in the window of a peer: 64 of the longest ones. Beyond it those
    /// for all peers wait; where the uplink may lose frames, for <see cref="Patience"/> at most: then those for that peer are dropped.
    /// </summary>
    public long WaitingBytes { get; init; } = 4 << 20;

    /// <summary>Frames a second to all nodes (broadcasts, multicasts, and those for addresses that nobody knows) that may leave for each
    /// address of a local guest, where the uplink may lose frames; null for no limit.</summary>
    public int? FloodLimit { get; init; }

    /// <summary>Octets of frames that wait for a checkpoint before peers are not read from any more.</summary>
    public long HeldBytes { get; init; } = 64 << 20;

    /// <summary>A file's length at which the channel log's next one begins.</summary>
    public long LogSegmentLength { get; init; } = ChannelLog.DefaultSegmentLength;

    /// <summary>How often each peer is told the indexes.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a stream may be silent before one that its peer opens anew takes its place; and how long frames may
    /// wait before a link is called in trouble. Several heartbeats.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a node that opens a stream may take to say who it is. Many round trips of any network.</summary>
    public TimeSpan HelloPatience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The first wait before a connection is tried again; it doubles up to <see cref="MaxBackOff"/>.</summary>
    public TimeSpan MinBackOff { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>The longest wait before a connection is tried again.</summary>
    public TimeSpan MaxBackOff { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>What is wrong, as a sentence; null where nothing is.</summary>
    internal string? Mistake()
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in Peers.Select(peer => peer.Name).Prepend(Node))
        {
            if (string.IsNullOrEmpty(name) || System.Text.Encoding.UTF8.GetByteCount(name) > MaxName)
            {
                return $"A node's name has 1 to {MaxName} octets, unlike '{name}'.";
            }

            if (!names.Add(name))
            {
                return $"Two nodes of the cluster are called '{name}'.";
            }
        }

        return string.IsNullOrEmpty(LogDirectory) ? "The channel log has no directory."
            : FloodLimit <= 0 ? "The limit of frames to all nodes is not above 0."
            : WindowBytes <= 0 || HeldBytes <= 0 || LogSegmentLength <= 0 ? "A limit in octets is not above 0."
            : HeartbeatInterval <= TimeSpan.Zero || Patience <= TimeSpan.Zero || HelloPatience <= TimeSpan.Zero
                || MinBackOff <= TimeSpan.Zero
                || MaxBackOff < MinBackOff ? "A time is not above 0, or the longest wait is below the first one."
            : null;
    }
}
