using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>A checkpoint as the choice of a line's member sees it.</summary>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Index">Its index.</param>
/// <param name="Reach">The greatest index that the node is known to have reached before its next checkpoint: the greatest line that it
/// is the member of.</param>
internal sealed record CheckpointPoint(ulong Epoch, long Index, long Reach)
{
    /// <summary>A checkpoint of a protocol whose index rises with checkpoints only, or the last one.</summary>
    /// <param name="epoch">Its epoch.</param>
    /// <param name="index">Its index.</param>
    internal CheckpointPoint(ulong epoch, long index)
        : this(epoch, index, index)
    {
    }
}

/// <summary>What a node decides about its part of a recovery, as functions of what it has found.</summary>
internal static class RecoveryChoices
{
    /// <summary>True where the node's domains go back; false where it takes a checkpoint and goes on.</summary>
    /// <param name="pending">The recovery that is pending; null for none.</param>
    /// <param name="order">What is to be done.</param>
    /// <param name="messages">The messages as they are.</param>
    internal static bool RollsBack(PendingRecovery? pending, RecoveryOrder order, MessagesState messages)
    {
        // Of one that was interrupted while its domains went back, none may be left.
        return pending is { RollsBack: true } || (pending?.Order == order && !messages.AwaitsRecovery
            ? pending.RollsBack
            : ClusterRecoveryPlanner.StepOf(messages.Index, messages.AwaitsRecovery, order.Line) == RecoveryStep.RollBack);
    }

    /// <summary>True where the node went on in a pending recovery's incarnation and has lost its state since: what it sent in it
    /// would be sent a second time.</summary>
    /// <param name="pending">The recovery that is pending.</param>
    /// <param name="messages">The messages as they are.</param>
    internal static bool IsLostIn(PendingRecovery pending, MessagesState messages) =>
        !pending.RollsBack && messages.AwaitsRecovery && messages.Incarnation >= pending.Order.Incarnation;

    /// <summary>True where a checkpoint is of the history that stands.</summary>
    /// <param name="epoch">Its epoch.</param>
    /// <param name="discarded">Checkpoints of a past that is gone; null for none.</param>
    internal static bool Stands(ulong epoch, DiscardedEpochs? discarded) =>
        discarded is null || epoch <= discarded.After || epoch > discarded.Through;

    /// <summary>How far checkpoints reached, by what the manifests of those after them say.</summary>
    /// <param name="checkpoints">Of each its epoch, its index, and what it follows.</param>
    internal static IReadOnlyList<CheckpointPoint> PointsOf(
        IReadOnlyCollection<(ulong Epoch, ulong Index, CheckpointPredecessor? Before)> checkpoints)
    {
        // Several followed one where a recovery has gone back to it.
        ILookup<ulong, ulong> reached = checkpoints.Select(c => c.Before).OfType<CheckpointPredecessor>().ToLookup(b => b.Index, b => b.Reached);
        return [.. checkpoints.Select(c => new CheckpointPoint(c.Epoch, (long)c.Index, (long)reached[c.Index].Append(c.Index).Max()))];
    }

    /// <summary>The member of a line (<see cref="RecoveryLine.Member"/>): the first checkpoint that reached k.</summary>
    /// <param name="checkpoints">Those of the history that stands, the oldest first.</param>
    /// <param name="line">k.</param>
    /// <returns>Its position. Null where there is none, or where an earlier one may have been removed.</returns>
    internal static int? Member(IReadOnlyList<CheckpointPoint> checkpoints, long line)
    {
        int at = 0;
        while (at < checkpoints.Count && checkpoints[at].Reach < line)
        {
            at++;
        }

        return at < checkpoints.Count
            && (at > 0 || checkpoints[at].Index <= line || (checkpoints[at].Epoch == 1 && line > 0))
            ? at
            : null;
    }

    /// <summary>The least line behind one without a member that has one; null where there is none.</summary>
    /// <param name="checkpoints">Those of the history that stands, the oldest first.</param>
    /// <param name="line">The line that has no member.</param>
    internal static long? LaterLine(IEnumerable<CheckpointPoint> checkpoints, long line) =>
        checkpoints.FirstOrDefault() is { } oldest && oldest.Index > line ? oldest.Index : null;

    /// <summary>The least line that a recovery may still go back to. None goes behind the least durable index of all nodes by itself
    /// (<see cref="Garbage"/>). One that was promised may begin at any time. And the line of the last one is gone back to once more, to
    /// bring up lost nodes' domains again, by whoever does not know that they are settled.</summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="peers">What is heard of the other nodes.</param>
    /// <param name="durable">This node's durable index.</param>
    internal static long LeastLine(NodeRecord record, IReadOnlyCollection<PeerStatus> peers, long durable) => Math.Min(
        Math.Min(Garbage.SafeLine(peers.Select(p => p.DurableIndex).Append(durable)), AllKnowSettled(record, peers) ? long.MaxValue : record.Last!.Order.Line),
        Math.Min(record.Promised?.Line ?? long.MaxValue, record.Pending?.Order.Line ?? long.MaxValue));

    /// <summary>The incarnation of the last recovery, where all lost nodes whose domains it brought up are settled on disk; 0 otherwise.
    /// </summary>
    /// <param name="record">The record on disk.</param>
    internal static int SettledIncarnation(NodeRecord record) =>
        record.Last is { Order: { } order } && order.Moves.All(m => IsSettled(record, m.Node)) ? order.Incarnation : 0;

    /// <summary>A lost node of which its host has told that its domains are there for good, and of which the record does not say so; null
    /// for none.</summary>
    /// <remarks>Until then its host tells the line of the recovery as its durable index, and afterwards a later one.</remarks>
    /// <param name="record">The record on disk.</param>
    /// <param name="node">This node.</param>
    /// <param name="peers">What is heard of the other nodes.</param>
    internal static string? HeardSettled(NodeRecord record, string node, IReadOnlyCollection<PeerStatus> peers) =>
        record.Last?.Order.Moves.FirstOrDefault(m => m.To != node && !IsSettled(record, m.Node)
            && peers.Any(p => p.Name == m.Node && p.DurableIndex > record.Last.Order.Line))?.Node;

    /// <summary>True where the record says that a lost node's domains are in their new place for good.</summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="node">The lost node.</param>
    internal static bool IsSettled(NodeRecord record, string node) => record.Departures.Any(d => d.Node == node && d.Settled);

    // A node without peers keeps no note of it: nobody else could go back to the line.
    private static bool AllKnowSettled(NodeRecord record, IReadOnlyCollection<PeerStatus> peers) =>
        peers.Count == 0 || record.Last is not { Order: { Moves.Count: > 0 } order }
        || (SettledIncarnation(record) == order.Incarnation
            && peers.All(p => p.SettledIncarnation >= order.Incarnation || record.Departures.Any(d => d.Node == p.Name)));

    /// <summary>True where a recovery to a line, or a later one, needs a checkpoint: it is behind the line, or the one before that, which
    /// shows that no earlier member is missing.</summary>
    /// <param name="standing">The checkpoints of the history that stands.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="line">The line.</param>
    internal static bool IsNeeded(IEnumerable<CheckpointPoint> standing, CheckpointPoint checkpoint, long line) =>
        checkpoint.Reach >= line || checkpoint.Epoch == standing.Where(p => p.Reach < line).Max(p => (ulong?)p.Epoch);

    /// <summary>Lost nodes whose domains are here and are not brought here once more.</summary>
    /// <param name="departures">The nodes that are lost.</param>
    /// <param name="node">This node.</param>
    /// <param name="order">What is to be done.</param>
    internal static IReadOnlyList<Departure> Hosted(IReadOnlyList<Departure> departures, string node, RecoveryOrder order) =>
        [.. departures.Where(d => d.Host == node && !order.Moves.Any(m => m.Node == d.Node))];

    /// <summary>A lost node whose domains came here after the member, and would be gone with it; null for none.</summary>
    /// <param name="hosted">Lost nodes whose domains are here.</param>
    /// <param name="inMember">Lost nodes whose domains are here in the member.</param>
    internal static Departure? CameSince(IReadOnlyList<Departure> hosted, IReadOnlyList<string> inMember) =>
        hosted.FirstOrDefault(d => !inMember.Contains(d.Node));

    /// <summary>The line of a recovery that a lost node took part in and this one did not, or the other way round, where it has undone
    /// what the checkpoints of a later line hang on; null for none.</summary>
    /// <remarks>A recovery that follows one which not all have done goes to no later line, so that the newest one tells of all that were
    /// missed. Where this node has missed one, it has promised it: all promise before one begins.</remarks>
    /// <param name="record">The record of this node.</param>
    /// <param name="incarnation">The incarnation that the lost node was in.</param>
    /// <param name="line">The line that its domains are to go back to.</param>
    internal static long? Undone(NodeRecord record, int incarnation, long line)
    {
        RecoveryOrder? newest = record.Pending?.Order ?? record.Last?.Order;
        int mine = Math.Max(record.Incarnation, newest?.Incarnation ?? 0);
        long? missed = incarnation < mine ? newest?.Line : incarnation > mine ? record.LeastPromised ?? 0 : null;
        return missed < line ? missed : null;
    }

    /// <summary>True where the node has not brought a lost node's domains up before: one that is here then has moved since the line.
    /// </summary>
    /// <param name="record">The record on disk.</param>
    /// <param name="move">The lost node, and this one.</param>
    internal static bool IsFirst(NodeRecord record, DomainMove move) =>
        !record.Departures.Any(d => d.Node == move.Node && d.Host == move.To) && record.Pending?.Order.Moves.Contains(move) != true;

    /// <summary>The domains that are here and not in any checkpoint that domains come from: they would run on from the future.</summary>
    /// <param name="here">Domains that can exchange frames with other nodes' guests.</param>
    /// <param name="inMembers">The domains in the checkpoints.</param>
    internal static IReadOnlyList<Guid> Newer(IEnumerable<Guid> here, IReadOnlySet<Guid> inMembers) =>
        [.. here.Where(d => !inMembers.Contains(d))];

    /// <summary>All nodes that are lost once an order is carried out. Where it does once more what an earlier one did, that one
    /// counts: since then frames for its domains have gone there.</summary>
    /// <param name="known">The nodes that are lost before.</param>
    /// <param name="order">What is done.</param>
    internal static IReadOnlyList<Departure> DeparturesWith(IReadOnlyList<Departure> known, RecoveryOrder order) =>
    [
        .. known.Where(d => !order.Moves.Any(m => m.Node == d.Node)),
        .. order.Moves.Select(m => known.FirstOrDefault(d => d.Node == m.Node) switch
        {
            null => new Departure(m.Node, m.To, order.Incarnation),
            { } before when before.Host == m.To => before with { Settled = false },
            { } before => new Departure(m.Node, m.To, order.Incarnation)
            {
                Earlier = [.. before.Earlier, new Stay(before.Host, before.Incarnation)],
            },
        }),
    ];
}
