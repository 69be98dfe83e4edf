using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>What a record of a trace says. The numbers are those of the binary form.</summary>
public enum TraceEventKind : byte
{
    /// <summary>A basic checkpoint was saved.</summary>
    Basic = 1,

    /// <summary>A checkpoint forced by a message was saved.</summary>
    Forced = 2,

    /// <summary>A checkpoint for any other reason was saved: after a send, by the failure rule, by a coordinator.
    /// </summary>
    Other = 3,

    /// <summary>A checkpoint was begun and not saved.</summary>
    CheckpointFailed = 4,

    /// <summary>A message left.</summary>
    Send = 5,

    /// <summary>A message was delivered.</summary>
    Receive = 6,

    /// <summary>A message was delivered, and put into the receiver's channel log.</summary>
    ReceiveLogged = 7,

    /// <summary>A message is known to be lost: it will not be delivered (again).</summary>
    Lost = 8,

    /// <summary>The index of a node rose without a checkpoint, other than by a delivery.</summary>
    IndexRaised = 9,

    /// <summary>A node failed.</summary>
    Failure = 10,

    /// <summary>A node went back to a checkpoint.</summary>
    Rollback = 11,

    /// <summary>The domains of a lost node are on this one from now on: what was sent there may be delivered here.</summary>
    Adoption = 12,
}

/// <summary>One record of a trace; which members mean something depends on <see cref="Kind"/>.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly record struct TraceEvent
{
    /// <summary>The greatest number that a message can have: its distance from any other fits into the nine bytes of a
    /// number in the binary form.</summary>
    public const long MaxMessage = (1L << 61) - 1;

    /// <summary>What happened.</summary>
    public required TraceEventKind Kind { get; init; }

    /// <summary>Where it happened, from 0.</summary>
    public required int Node { get; init; }

    /// <summary><see cref="TraceEventKind.Send"/>: the receiver. <see cref="TraceEventKind.Adoption"/>: the lost node.</summary>
    public int Peer { get; init; }

    /// <summary><see cref="TraceEventKind.Send"/>, <see cref="TraceEventKind.Receive"/>,
    /// <see cref="TraceEventKind.ReceiveLogged"/>, <see cref="TraceEventKind.Lost"/>: the number of the message, 0 to
    /// <see cref="MaxMessage"/>, unique in the trace.</summary>
    public long Message { get; init; }

    /// <summary>Checkpoints: the label. <see cref="TraceEventKind.Send"/>: the index that the message carries. Deliveries,
    /// <see cref="TraceEventKind.IndexRaised"/> and <see cref="TraceEventKind.Rollback"/>: the node's index after it.
    /// </summary>
    public long Index { get; init; }

    /// <summary><see cref="TraceEventKind.Rollback"/>: the checkpoint, counted along the node's history without what was
    /// rolled back before; 0 is the initial one.</summary>
    public long Ordinal { get; init; }

    /// <summary>True for <see cref="TraceEventKind.Basic"/>, <see cref="TraceEventKind.Forced"/> and
    /// <see cref="TraceEventKind.Other"/>.</summary>
    public bool IsCheckpoint => Kind is >= TraceEventKind.Basic and <= TraceEventKind.Other;

    /// <summary>A checkpoint was saved.</summary>
    /// <param name="kind">Basic, forced or other.</param>
    /// <param name="node">Where.</param>
    /// <param name="label">Its label.</param>
    public static TraceEvent Checkpoint(TraceEventKind kind, int node, long label) =>
        new() { Kind = kind, Node = node, Index = label };

    /// <summary>A checkpoint failed.</summary>
    /// <param name="node">Where.</param>
    public static TraceEvent CheckpointFailed(int node) => new() { Kind = TraceEventKind.CheckpointFailed, Node = node };

    /// <summary>A message left.</summary>
    /// <param name="node">The sender.</param>
    /// <param name="to">The receiver.</param>
    /// <param name="message">The message's number.</param>
    /// <param name="index">The index that it carries.</param>
    public static TraceEvent Send(int node, int to, long message, long index) =>
        new() { Kind = TraceEventKind.Send, Node = node, Peer = to, Message = message, Index = index };

    /// <summary>A message was delivered.</summary>
    /// <param name="node">The receiver.</param>
    /// <param name="message">The message's number.</param>
    /// <param name="index">The receiver's index after the delivery.</param>
    /// <param name="logged">True where it was put into the channel log.</param>
    public static TraceEvent Receive(int node, long message, long index, bool logged = false) => new()
    {
        Kind = logged ? TraceEventKind.ReceiveLogged : TraceEventKind.Receive,
        Node = node,
        Message = message,
        Index = index,
    };

    /// <summary>A message is known to be lost.</summary>
    /// <param name="node">Who found out.</param>
    /// <param name="message">The message's number.</param>
    public static TraceEvent Lost(int node, long message) =>
        new() { Kind = TraceEventKind.Lost, Node = node, Message = message };

    /// <summary>An index rose without a checkpoint.</summary>
    /// <param name="node">Where.</param>
    /// <param name="index">The index now.</param>
    public static TraceEvent IndexRaised(int node, long index) =>
        new() { Kind = TraceEventKind.IndexRaised, Node = node, Index = index };

    /// <summary>A node failed.</summary>
    /// <param name="node">Which.</param>
    public static TraceEvent Failure(int node) => new() { Kind = TraceEventKind.Failure, Node = node };

    /// <summary>A node went back to a checkpoint.</summary>
    /// <param name="node">Which.</param>
    /// <param name="ordinal">See <see cref="Ordinal"/>.</param>
    /// <param name="index">The node's index now.</param>
    public static TraceEvent Rollback(int node, long ordinal, long index) =>
        new() { Kind = TraceEventKind.Rollback, Node = node, Ordinal = ordinal, Index = index };

    /// <summary>The domains of a lost node are on another one from now on.</summary>
    /// <param name="node">The node that has them.</param>
    /// <param name="lost">The lost node.</param>
    public static TraceEvent Adoption(int node, int lost) =>
        new() { Kind = TraceEventKind.Adoption, Node = node, Peer = lost };
}

/// <summary>What a trace says of itself.</summary>
public sealed record TraceHeader
{
    /// <summary>The most nodes that a trace can have: 16 Mi, which a checker's state of some 100 bytes a node turns into
    /// 1.6 GB.</summary>
    public const int MaxNodes = 1 << 24;

    /// <summary>Nodes, 1 to <see cref="MaxNodes"/>.</summary>
    public required int Nodes { get; init; }

    /// <summary>The protocol's name, at most 255 bytes of UTF-8; empty where it has none.</summary>
    public string Protocol { get; init; } = string.Empty;

    /// <summary>How the recovery lines of this run are found.</summary>
    public LineRule Line { get; init; } = LineRule.Propagation;

    /// <summary>True where nodes may roll back in this trace. Without it a checker forgets each message once it is
    /// delivered.</summary>
    public bool Rollbacks { get; init; }

    /// <summary>True where the trace says of each delivery whether it was put into the channel log.</summary>
    public bool ChannelLogs { get; init; }

    /// <summary>The header of a run of a protocol.</summary>
    /// <param name="traits">The protocol.</param>
    /// <param name="nodes">Nodes.</param>
    /// <param name="rollbacks">See <see cref="Rollbacks"/>.</param>
    /// <param name="channelLogs">See <see cref="ChannelLogs"/>.</param>
    public static TraceHeader For(ProtocolTraits traits, int nodes, bool rollbacks = false, bool channelLogs = false)
    {
        ArgumentNullException.ThrowIfNull(traits);
        return new()
        {
            Nodes = nodes,
            Protocol = traits.Name,
            Line = traits.Line,
            Rollbacks = rollbacks,
            ChannelLogs = channelLogs,
        };
    }
}

/// <summary>A trace is cut, damaged, not a trace, or says what cannot be. The message is one line that names the byte or
/// the line.</summary>
public sealed class TraceException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">One line: where, what, and what to do.</param>
    /// <param name="inner">The cause, if any.</param>
    public TraceException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
