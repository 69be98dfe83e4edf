using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Channels;

/// <summary>A batch in a channel log.</summary>
/// <param name="From">The sender's name.</param>
/// <param name="Origin">The sender's incarnation when it left first.</param>
/// <param name="Sequence">Its place in the channel from that sender.</param>
/// <param name="Index">The sender's index when it left.</param>
/// <param name="ReceiverIndex">This node's index when it was delivered.</param>
/// <param name="DeliveredAfter">This node's last checkpoint before the delivery, by its ordinal in the history that
/// stands.</param>
/// <param name="Frames">The frames.</param>
/// <param name="To">The lost node that they were for, whose domains are here; null for this node.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct LoggedBatch(
    string From, int Origin, long Sequence, long Index, long ReceiverIndex, long DeliveredAfter,
    ReadOnlyMemory<byte> Frames, string? To = null);
