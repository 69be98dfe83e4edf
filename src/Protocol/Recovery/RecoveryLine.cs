using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>A checkpoint that a node can go back to.</summary>
/// <param name="Label">The label that it was saved with.</param>
/// <param name="Reach">The index that the node reached before its next checkpoint, as far as that is known after a
/// failure; the label for protocols whose index rises with checkpoints only.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct StoredCheckpoint(long Label, long Reach)
{
    /// <summary>A checkpoint of a protocol whose index rises with checkpoints only.</summary>
    /// <param name="label">The label that it was saved with.</param>
    public StoredCheckpoint(long label)
        : this(label, label)
    {
    }
}

/// <summary>A message that was delivered, by the intervals of its sending and its delivery; an interval is named by the
/// ordinal of the checkpoint that opens it, 0 the initial one.</summary>
/// <param name="From">The sender.</param>
/// <param name="SentAfter">The sender's last checkpoint before the sending.</param>
/// <param name="To">The receiver.</param>
/// <param name="DeliveredAfter">The receiver's last checkpoint before the delivery.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct IntervalDependency(int From, long SentAfter, int To, long DeliveredAfter);

/// <summary>Recovery lines: of each node one checkpoint, such that no message was sent after its sender's and delivered
/// before its receiver's.</summary>
public static class RecoveryLine
{
    /// <summary>A node's member of line L_k by the rule of its protocol.</summary>
    /// <param name="checkpoints">The node's checkpoints in order of taking, from the initial one (label 0) or from the
    /// oldest that is left.</param>
    /// <param name="line">k, at least 0.</param>
    /// <returns>The place in <paramref name="checkpoints"/>; -1 where the node has not reached k.</returns>
    /// <remarks><see cref="LineRule.FirstAtLeast"/>: a message sent after the sender's member has m.sn at least k, and the
    /// receiver reaches k by a checkpoint only, which precedes the delivery.
    /// <see cref="LineRule.LastBeforeReaching"/>: where the index reached k without a checkpoint nothing had been sent since
    /// the last one, so that one does. Both are the first checkpoint whose <see cref="StoredCheckpoint.Reach"/> is at least
    /// k.</remarks>
    public static int Member(ReadOnlySpan<StoredCheckpoint> checkpoints, long line)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        int low = 0, high = checkpoints.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (checkpoints[middle].Reach >= line)
            {
                high = middle;
            }
            else
            {
                low = middle + 1;
            }
        }

        return low < checkpoints.Length ? low : -1;
    }

    /// <summary>Line L_k of a run, for any protocol.</summary>
    /// <param name="rule">How the protocol's lines are found. For <see cref="LineRule.Propagation"/> L_k is the greatest
    /// consistent line at or before each node's last checkpoint with a label of at most k.</param>
    /// <param name="line">k, at least 0.</param>
    /// <param name="nodes">By node its checkpoints, from the initial one.</param>
    /// <param name="dependencies">The deliveries; not looked at where the index tells the line.</param>
    /// <returns>By node the ordinal of its member; the number of its checkpoints where it has not reached k, which stands
    /// for its present state: the failure rule has it take its checkpoint now.</returns>
    public static long[] Find(
        LineRule rule,
        long line,
        IReadOnlyList<IReadOnlyList<StoredCheckpoint>> nodes,
        IEnumerable<IntervalDependency> dependencies)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        long[] members = new long[nodes.Count];
        for (int i = 0; i < members.Length; i++)
        {
            StoredCheckpoint[] checkpoints = [.. nodes[i]];
            if (rule == LineRule.Propagation)
            {
                int above = Array.FindIndex(checkpoints, checkpoint => checkpoint.Label > line);
                members[i] = above < 0 ? checkpoints.Length - 1 : above - 1;
            }
            else
            {
                int member = Member(checkpoints, line);
                members[i] = member < 0 ? checkpoints.Length : member;
            }
        }

        return rule == LineRule.Propagation ? Greatest(members, dependencies) : members;
    }

    /// <summary>The greatest consistent line at or before given members, by rollback propagation: for any protocol. Linear
    /// in checkpoints and dependencies.</summary>
    /// <param name="latest">By node the ordinal of its latest member possible. One that is the ordinal after its last
    /// checkpoint stands for its present state: a survivor that may go on.</param>
    /// <param name="dependencies">The deliveries.</param>
    /// <returns>By node the ordinal of its member, at most that of <paramref name="latest"/>.</returns>
    /// <exception cref="ArgumentException">A dependency names a node that is not there.</exception>
    public static long[] Greatest(IReadOnlyList<long> latest, IEnumerable<IntervalDependency> dependencies)
    {
        ArgumentNullException.ThrowIfNull(latest);
        ArgumentNullException.ThrowIfNull(dependencies);

        // Each node has the intervals up to its latest member, and one for all that is undone in any case.
        int[] intervals = new int[latest.Count];
        for (int i = 0; i < intervals.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(latest[i], nameof(latest));
            intervals[i] = checked((int)latest[i] + 1);
        }

        List<IntervalDependency> inside = [];
        foreach (IntervalDependency item in dependencies)
        {
            if ((uint)item.From >= (uint)intervals.Length || (uint)item.To >= (uint)intervals.Length || item.SentAfter < 0 || item.DeliveredAfter < 0)
            {
                throw new ArgumentException($"{item} is no dependency between {intervals.Length} nodes", nameof(dependencies));
            }

            if (item.DeliveredAfter < latest[item.To])
            {
                inside.Add(item with { SentAfter = Math.Min(item.SentAfter, latest[item.From]) });
            }
        }

        RGraph graph = RGraph.Of(intervals, inside);
        int[] stands = graph.Propagate(Enumerable.Range(0, intervals.Length).Select(i => graph.First(i) + intervals[i] - 1));
        return Array.ConvertAll(stands, stand => (long)stand);
    }
}
