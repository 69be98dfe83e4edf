namespace XenTwoLevelCkpt.Channels;

/// <summary>A checkpoint that the channels ask for.</summary>
/// <param name="Label">The label, set before anything is saved.</param>
/// <param name="Cause">Why.</param>
/// <param name="ForcedBy">The message that forces it; null for another cause.</param>
internal sealed record BegunCheckpoint(long Label, CheckpointCause Cause, ForcingMessage? ForcedBy);

/// <summary>What <see cref="ChannelCore{TProtocol}"/> has its owner do beside the log and the trace. Called from within the core's
/// methods, in the order in which things happen.</summary>
internal interface IChannelEffects
{
    /// <summary>The guests get frames, before this returns.</summary>
    /// <param name="frame">One frame of a batch, with its header.</param>
    /// <param name="sender">The node that it comes from, by its number; null where it comes from guests here.</param>
    /// <param name="audience">The guests that it may be for; null for all.</param>
    void Deliver(ReadOnlySpan<byte> frame, int? sender, Audience? audience);

    /// <summary>A checkpoint has to be taken: <see cref="INodeCheckpoints.Begin"/> is called once the core's method has returned.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    void Begin(BegunCheckpoint checkpoint);

    /// <summary>There may be room for frames again: whoever waits to send looks again.</summary>
    void RoomMade();

    /// <summary>Batches may be taken again: streams that rest are read on.</summary>
    void GateMoved();

    /// <summary>Where the guests behind a node are may have changed.</summary>
    /// <param name="number">The node.</param>
    void ForgetAddresses(int number);

    /// <summary>The channels of lost nodes whose domains are here are others: streams for them are opened.</summary>
    void HostedChanged();
}
