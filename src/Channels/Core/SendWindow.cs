namespace XenTwoLevelCkpt.Channels;

/// <summary>A batch on its way to a peer, kept until the peer has it.</summary>
/// <param name="Sequence">Its place among the batches to that peer, from 1.</param>
/// <param name="Index">The node's index when it left.</param>
/// <param name="Frames">The frames; see <see cref="FrameBatch"/>.</param>
/// <param name="Origin">The incarnation in which it left first; a recovery may have it sent again.</param>
/// <param name="Pooled">True where the frames are in an array of the shared pool, which
/// <see cref="SendWindow.Released"/> may give back.</param>
public readonly record struct SentBatch(
    long Sequence, long Index, ReadOnlyMemory<byte> Frames, int Origin = 0, bool Pooled = false);

/// <summary>
/// What was sent to one peer and not acknowledged: the sender's half of a channel that loses nothing, repeats nothing and
/// keeps its order over any number of connections. Bounded: where it is full, the guests' frames wait.
/// </summary>
/// <remarks>One thread at a time. A message that was sent before a recovery line and not delivered is in transit over that
/// line: it is in this window when the node is checkpointed.</remarks>
/// <param name="maxBytes">The most bytes of frames that are kept; one batch is taken in any case.</param>
public sealed class SendWindow(long maxBytes)
{
    private readonly Queue<SentBatch> _batches = new();

    /// <summary>Makes the window as it was when it was noted for a checkpoint.</summary>
    /// <param name="maxBytes">The most bytes of frames that are kept. Those of <paramref name="kept"/> may be more.</param>
    /// <param name="acknowledged">The sequence number up to which the peer had everything.</param>
    /// <param name="kept">What comes after it, without gaps.</param>
    /// <exception cref="ArgumentException">There is a gap.</exception>
    public SendWindow(long maxBytes, long acknowledged, IEnumerable<SentBatch> kept)
        : this(maxBytes)
    {
        ArgumentNullException.ThrowIfNull(kept);
        ArgumentOutOfRangeException.ThrowIfNegative(acknowledged);
        Acknowledged = acknowledged;
        Last = acknowledged;
        foreach (SentBatch batch in kept)
        {
            if (batch.Sequence != Last + 1)
            {
                throw new ArgumentException($"Batch {batch.Sequence} is not the one behind {Last}.", nameof(kept));
            }

            Keep(batch);
        }
    }

    /// <summary>Gets each batch that is not kept any more.</summary>
    public Action<SentBatch>? Released { get; set; }

    /// <summary>What is kept, oldest first.</summary>
    public IReadOnlyCollection<SentBatch> Kept => _batches;

    /// <summary>The sequence number of the batch sent last; 0 before the first.</summary>
    public long Last { get; private set; }

    /// <summary>The sequence number up to which the peer has everything.</summary>
    public long Acknowledged { get; private set; }

    /// <summary>Bytes of frames that are kept.</summary>
    public long Bytes { get; private set; }

    /// <summary>Batches that are kept.</summary>
    public int Count => _batches.Count;

    /// <summary>True where the next batch has room.</summary>
    /// <param name="length">Its bytes.</param>
    public bool HasRoomFor(int length) => _batches.Count == 0 || Bytes + length <= maxBytes;

    /// <summary>Takes a batch; it can be sent then.</summary>
    /// <param name="index">The node's index.</param>
    /// <param name="frames">The frames. Kept as they are until they are acknowledged: the caller does not reuse them.
    /// </param>
    /// <param name="origin">The node's incarnation.</param>
    /// <param name="beyond">True for what has to leave before a checkpoint, whether there is room or not.</param>
    /// <param name="pooled">True where the frames are in an array of the shared pool.</param>
    /// <exception cref="InvalidOperationException">There is no room.</exception>
    public SentBatch Add(
        long index, ReadOnlyMemory<byte> frames, int origin = 0, bool beyond = false, bool pooled = false)
    {
        if (!beyond && !HasRoomFor(frames.Length))
        {
            throw new InvalidOperationException("The window is full; ask for room first.");
        }

        var batch = new SentBatch(Last + 1, index, frames, origin, pooled);
        Keep(batch);
        return batch;
    }

    /// <summary>The peer has everything up to a sequence number.</summary>
    /// <param name="sequence">The number. Lower ones than before are of a connection that is gone, and say nothing.</param>
    /// <exception cref="ChannelException">It was never sent.</exception>
    public void Acknowledge(long sequence)
    {
        if (sequence > Last)
        {
            throw new ChannelException($"The peer acknowledges batch {sequence}; the last one sent is {Last}.");
        }

        while (_batches.TryPeek(out SentBatch batch) && batch.Sequence <= sequence)
        {
            _ = _batches.Dequeue();
            Bytes -= batch.Frames.Length;
            Acknowledged = batch.Sequence;
            Released?.Invoke(batch);
        }
    }

    /// <summary>After a connection was made anew: what has to be sent again, in order.</summary>
    /// <param name="expected">The sequence number that the peer expects next.</param>
    /// <exception cref="ChannelException">The peer expects what is not kept any more, or what was never sent: one of the
    /// two nodes has forgotten the channel, and only a recovery brings them together again.</exception>
    public IReadOnlyCollection<SentBatch> Resume(long expected)
    {
        if (expected <= Acknowledged || expected > Last + 1)
        {
            throw new ChannelException(
                $"The peer expects batch {expected}; this node has {Acknowledged + 1} to {Last}. One of the two has "
                + "forgotten their channel; a recovery is needed.");
        }

        Acknowledge(expected - 1);
        return _batches;
    }

    private void Keep(in SentBatch batch)
    {
        Last = batch.Sequence;
        _batches.Enqueue(batch);
        Bytes += batch.Frames.Length;
    }
}
