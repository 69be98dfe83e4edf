using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>A delivery in a receiver's channel log.</summary>
/// <param name="MessageIndex">The index that the message carried.</param>
/// <param name="DeliveredAfter">The receiver's last checkpoint before the delivery, by any number that rises from
/// checkpoint to checkpoint.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct LogEntry(long MessageIndex, long DeliveredAfter);

/// <summary>Which messages cross a line: sent before the sender's member, delivered after the receiver's. A line alone
/// would lose them.</summary>
public static class CrossingMessages
{
    /// <summary>The deliveries that cross a line.</summary>
    /// <param name="line">By node the ordinal of its member.</param>
    /// <param name="dependencies">The deliveries. A message that is still under way crosses every line that its sending
    /// precedes; its sender keeps it until it is acknowledged.</param>
    public static IEnumerable<IntervalDependency> Over(
        IReadOnlyList<long> line, IEnumerable<IntervalDependency> dependencies)
    {
        ArgumentNullException.ThrowIfNull(line);
        return dependencies.Where(item => item.SentAfter < line[item.From] && item.DeliveredAfter >= line[item.To]);
    }

    /// <summary>True where a delivery may cross a line, and has to be logged by the receiver.</summary>
    /// <param name="rule">How the protocol's lines are found.</param>
    /// <param name="messageIndex">The index that the message carried.</param>
    /// <param name="receiverIndex">The receiver's index at the delivery.</param>
    /// <remarks>
    /// <see cref="LineRule.FirstAtLeast"/>: m crosses just the lines m.sn + 1 to sn. Where the index also rises without a
    /// checkpoint, it may do so after the delivery and before the next checkpoint: the last one then becomes the member of
    /// lines above sn too, and any delivery since crosses them. So everything is logged there, and where the index tells
    /// nothing; what is not needed goes with the next line (<see cref="Garbage"/>).
    /// </remarks>
    public static bool MustLog(LineRule rule, long messageIndex, long receiverIndex) =>
        rule != LineRule.FirstAtLeast || messageIndex < receiverIndex;

    /// <summary>True where a log entry is replayed when the receiver goes back to its member of line k.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="line">k.</param>
    /// <param name="member">The receiver's member, by the number that <see cref="LogEntry.DeliveredAfter"/> uses.</param>
    /// <remarks>Entries are replayed in the order of their delivery. A message with an index of at least k is sent again
    /// by its sender, which went back too.</remarks>
    public static bool MustReplay(in LogEntry entry, long line, long member) =>
        entry.MessageIndex < line && entry.DeliveredAfter >= member;
}

/// <summary>What no recovery can need any more.</summary>
public static class Garbage
{
    /// <summary>The line before which everything may go: the least over all nodes of their latest durable index. A
    /// recovery never goes back behind it, whoever fails.</summary>
    /// <param name="latestDurable">By node the label of its latest durable checkpoint; 0 for the initial state.</param>
    /// <exception cref="ArgumentException">There is no node.</exception>
    public static long SafeLine(IEnumerable<long> latestDurable)
    {
        ArgumentNullException.ThrowIfNull(latestDurable);
        return latestDurable.DefaultIfEmpty(-1).Min() is var least and >= 0
            ? least
            : throw new ArgumentException("no node, or a label below 0", nameof(latestDurable));
    }

    /// <summary>How many of a node's checkpoints may go, from the oldest: those before its member of the safe line.
    /// </summary>
    /// <param name="checkpoints">The node's durable checkpoints in order of taking.</param>
    /// <param name="safeLine"><see cref="SafeLine"/>.</param>
    public static int Checkpoints(ReadOnlySpan<StoredCheckpoint> checkpoints, long safeLine) =>
        Math.Max(0, RecoveryLine.Member(checkpoints, safeLine));

    /// <summary>True where a log entry may go: its delivery precedes the node's member of the safe line.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="member">The member, by the number that <see cref="LogEntry.DeliveredAfter"/> uses.</param>
    public static bool IsGarbage(in LogEntry entry, long member) => entry.DeliveredAfter < member;
}

/// <summary>When output may leave the system: what the world has seen cannot be undone.</summary>
public static class OutputCommit
{
    /// <summary>True where no recovery undoes an output any more.</summary>
    /// <param name="index">The node's index when the output was made. Where the index also rises without a checkpoint, the
    /// output has to be reported as a send (<see cref="IProtocol{TSelf, TPiggyback}.OnSend"/>), so that the index cannot
    /// rise over it.</param>
    /// <param name="safeLine"><see cref="Garbage.SafeLine"/>: at least <paramref name="index"/> + 1 lies behind the output
    /// on every node.</param>
    public static bool MayLeave(long index, long safeLine) => safeLine > index;
}
