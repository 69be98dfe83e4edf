namespace XenTwoLevelCkpt.Channels;

/// <summary>A peer broke the rules of a channel. The connection has to be closed; nothing of this node has changed.
/// </summary>
public sealed class ChannelException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What the peer did.</param>
    public ChannelException(string message)
        : base(message)
    {
    }
}
