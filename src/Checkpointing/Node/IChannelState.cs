using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Channel state of a node (com): messages for its domains that the node holds back when they are suspended.
/// </summary>
public interface IChannelState
{
    /// <summary>The name of the blob with the channel state of the node as a whole, in the image of channels (com) of the
    /// first domain by UUID.</summary>
    const string NodeBlob = "node-channels";

    /// <summary>All domains of the node are suspended: what they sent before belongs to the time before the checkpoint.
    /// Called once in each attempt, before anything is captured; allocates nothing, waits for nothing.</summary>
    void Suspended()
    {
    }

    /// <summary>The channel state of the node as it was at <see cref="Suspended"/>; empty for none. Called when the domains
    /// run again, once in a checkpoint that reaches this point.</summary>
    ReadOnlyMemory<byte> TakeNodeState() => default;

    /// <summary>Notes what is held back for a domain. The domain is suspended; allocates nothing, waits for nothing.
    /// </summary>
    /// <param name="domain">The domain's UUID.</param>
    void Capture(Guid domain);

    /// <summary>Writes what was noted, as blobs.</summary>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="writer">An image of channels.</param>
    void Write(Guid domain, ImageWriter writer);
}

/// <summary>A node without peers: what its guests send each other does not pass through this software.</summary>
internal sealed class NoChannels : IChannelState
{
    public void Capture(Guid domain)
    {
        // Nothing is held back.
    }

    public void Write(Guid domain, ImageWriter writer)
    {
        // Nothing was noted.
    }
}
