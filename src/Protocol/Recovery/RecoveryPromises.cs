namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>What a node has on its disk about recoveries.</summary>
/// <param name="Incarnation">Its incarnation.</param>
/// <param name="Promised">The order that it has promised to carry out, and nothing of which is done; null for none.</param>
/// <param name="Begun">The order that it has begun and not ended; null for none.</param>
/// <param name="Last">The order that it ended last; null for none.</param>
public sealed record RecoveryRecords(int Incarnation, RecoveryOrder? Promised, RecoveryOrder? Begun, RecoveryOrder? Last)
{
    /// <summary>The newest incarnation that has begun on the node: what only a leader may replace who knows of it.</summary>
    public int Newest => Math.Max(Incarnation, Begun?.Incarnation ?? 0);
}

/// <summary>What a node does with an order.</summary>
public enum OrderVerdict
{
    /// <summary>Nothing: it has promised another one, or a recovery has begun that the leader does not know of.</summary>
    Refuse,

    /// <summary>It looks whether it can do its part, and then writes the promise down.</summary>
    Promise,

    /// <summary>It has promised this one before; it looks again whether it can do its part.</summary>
    Promised,

    /// <summary>It carries it out, from the beginning or from where that was interrupted.</summary>
    CarryOut,

    /// <summary>It has done its part before, and answers what it did.</summary>
    Done,
}

/// <summary>
/// The rule by which nodes take orders of recovery leaders, of which there may be several at once. A leader has every node promise
/// the same order before any node carries it out, and a node promises one order an incarnation: so in each incarnation at most one
/// order begins anywhere.
/// </summary>
/// <remarks>
/// A promise of a higher incarnation replaces one that has not begun. One that has begun is replaced only by a leader that knows of
/// it, which the order's <c>after</c> says: such a leader plans no other line above it, and no second place for a lost node's
/// domains. This is the promise of a one-round Paxos prepare, with the incarnation as the ballot and with all nodes as its quorum:
/// whatever begins, every later leader has seen, as it asks all nodes.
/// </remarks>
public static class RecoveryPromises
{
    /// <summary>A leader asks for the promise.</summary>
    /// <param name="records">What the node has on disk.</param>
    /// <param name="order">The order.</param>
    /// <param name="after">The newest incarnation that the leader knew to have begun on any node when it planned.</param>
    /// <param name="why">Why the node refuses, as a sentence; null where it does not.</param>
    public static OrderVerdict OnPrepare(RecoveryRecords records, RecoveryOrder order, int after, out string? why)
    {
        ArgumentNullException.ThrowIfNull(records);
        ArgumentNullException.ThrowIfNull(order);
        why = null;
        if (order == records.Last && records.Begun is null)
        {
            return OrderVerdict.Done;
        }

        if (order == records.Begun)
        {
            return OrderVerdict.CarryOut;
        }

        if (order.Incarnation <= records.Newest)
        {
            why = $"The incarnation {order.Incarnation} is not above the node's, {records.Newest}.";
        }
        else if (records.Newest > after)
        {
            why = $"A recovery has begun since this one was planned: {records.Begun ?? records.Last}. Plan again.";
        }
        else if (order == records.Promised)
        {
            return OrderVerdict.Promised;
        }
        else if (records.Promised is { } promised && promised.Incarnation >= order.Incarnation)
        {
            why = $"The node has promised another recovery: {promised}. Plan again.";
        }

        return why is null ? OrderVerdict.Promise : OrderVerdict.Refuse;
    }

    /// <summary>A leader asks that it be carried out.</summary>
    /// <param name="records">What the node has on disk.</param>
    /// <param name="order">The order.</param>
    /// <param name="why">Why the node refuses, as a sentence; null where it does not.</param>
    public static OrderVerdict OnCarryOut(RecoveryRecords records, RecoveryOrder order, out string? why)
    {
        ArgumentNullException.ThrowIfNull(records);
        ArgumentNullException.ThrowIfNull(order);
        why = null;
        if (order == records.Last && records.Begun is null)
        {
            return OrderVerdict.Done;
        }

        if (order == records.Begun || order == records.Promised)
        {
            return OrderVerdict.CarryOut;
        }

        why = records.Promised is { } promised && promised.Incarnation > records.Newest
            ? $"The node has promised another recovery: {promised}."
            : order.Incarnation <= records.Newest
                ? $"The incarnation {order.Incarnation} is not above the node's, {records.Newest}."
                : "The node has not promised this recovery.";
        return OrderVerdict.Refuse;
    }
}
