using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Channel state of a node (com): messages for its domains that the node holds back when they are suspended.
/// </summary>
public interface IChannelState
{
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
