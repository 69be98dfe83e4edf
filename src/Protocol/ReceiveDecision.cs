namespace XenTwoLevelCkpt.Protocol;

/// <summary>What happens to a message that has arrived.</summary>
public enum ReceiveDecision : byte
{
    /// <summary>It is delivered now, and counts as delivered.</summary>
    Deliver,

    /// <summary>A checkpoint begins; the message, and all behind it, wait for it.</summary>
    CheckpointFirst,

    /// <summary>It waits: a checkpoint is being taken, or the sender is in an incarnation that this node does not know
    /// yet.</summary>
    Wait,

    /// <summary>It is dropped: its sender has been rolled back since. What still has to arrive is sent again under the new
    /// incarnation.</summary>
    Reject,
}
