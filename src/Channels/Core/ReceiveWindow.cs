namespace XenTwoLevelCkpt.Channels;

/// <summary>The receiver's half of a channel: each batch once, in the order in which they were sent.</summary>
/// <remarks>One thread at a time.</remarks>
public sealed class ReceiveWindow
{
    /// <summary>Makes the window of a channel of which so much has been delivered.</summary>
    /// <param name="settled">The sequence number up to which everything has been delivered.</param>
    public ReceiveWindow(long settled = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(settled);
        Settled = settled;
        Expected = settled + 1;
    }

    /// <summary>The sequence number that comes next; what a peer is told when a connection is made.</summary>
    public long Expected { get; private set; }

    /// <summary>Everything up to here has been delivered.</summary>
    public long Settled { get; private set; }

    /// <summary>Takes note of a batch.</summary>
    /// <param name="sequence">Its sequence number.</param>
    /// <returns>False where it was here before: it was sent again, and is dropped.</returns>
    /// <exception cref="ChannelException">One before it is missing. A stream keeps its order, so the peer skipped it.
    /// </exception>
    public bool Accept(long sequence)
    {
        if (sequence > Expected || sequence <= 0)
        {
            throw new ChannelException($"The peer sends batch {sequence} where {Expected} comes next.");
        }

        if (sequence < Expected)
        {
            return false;
        }

        Expected++;
        return true;
    }

    /// <summary>A batch was delivered. Batches are delivered in their order.</summary>
    /// <param name="sequence">Its sequence number.</param>
    /// <exception cref="InvalidOperationException">It is not the next one.</exception>
    public void Settle(long sequence)
    {
        if (sequence != Settled + 1 || sequence >= Expected)
        {
            throw new InvalidOperationException($"Batch {sequence} is not the one behind {Settled}.");
        }

        Settled = sequence;
    }
}
