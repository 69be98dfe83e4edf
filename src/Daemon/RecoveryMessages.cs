using XenTwoLevelCkpt.Protocol.Recovery;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>Recoveries between the contract's messages, the node's record, and what the protocol library has for them.</summary>
internal static class RecoveryMessages
{
    /// <summary>The order of a request that is checked already.</summary>
    internal static RecoveryOrder OrderOf(V1.RecoverRequest request) => RecoveryOrder.Of(
        (long)request.Line, (int)request.Incarnation, request.Moves.Select(m => new DomainMove(m.Node, m.To)), request.DestroyNewer);

    /// <summary>What a node's record says of recoveries.</summary>
    internal static RecoveryRecords From(NodeRecord record) =>
        new(record.Incarnation, record.Promised, record.Pending?.Order, record.Last?.Order);

    /// <summary>An order as a node tells it.</summary>
    internal static V1.RecoveryRecord From(RecoveryOrder order, bool done, IEnumerable<string> settled) => new()
    {
        Line = (ulong)order.Line,
        Incarnation = (ulong)order.Incarnation,
        Moves = { order.Moves.Select(m => new V1.Move { Node = m.Node, To = m.To }) },
        Done = done,
        DestroyNewer = order.DestroysNewer,
        Settled = { settled },
    };
}
