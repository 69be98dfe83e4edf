using Google.Protobuf;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <summary>A stream that is open to a peer: what is to be written to it.</summary>
/// <remarks>Under the messenger's lock.</remarks>
/// <param name="link">Its channels.</param>
internal abstract class LinkSession(PeerLink link)
{
    private readonly Queue<SentBatch> _toSend = new();
    private long _acknowledged = -1;
    private long? _dropped;
    private int _droppedIncarnation;

    internal PeerLink Link { get; } = link;

    /// <summary>That of both sides' Hello.</summary>
    internal int Incarnation { get; set; }

    /// <summary>True while it is not read from, as too much waits for a checkpoint.</summary>
    internal bool Rests { get; set; }

    internal bool HeartbeatDue { get; set; }

    /// <summary>The sequence number of the last batch that the stream does not need any more.</summary>
    internal long Written { get; set; }

    /// <summary>True where the peer has been told all that can be acknowledged.</summary>
    internal bool HasAcknowledged => Link.Acknowledgeable <= Math.Max(_acknowledged, 0);

    /// <summary>True where the stream is about to end.</summary>
    internal abstract bool IsEnding { get; }

    /// <summary>There may be something to write. Returns at once.</summary>
    internal abstract void Signal();

    internal void Enqueue(in SentBatch batch)
    {
        _toSend.Enqueue(batch);
        Signal();
    }

    /// <summary>A batch of an older incarnation is dropped, and acknowledged.</summary>
    internal void Drop(long sequence, int incarnation)
    {
        (_dropped, _droppedIncarnation) = (sequence, incarnation);
        Signal();
    }

    /// <summary>The message that is to be sent next; null where there is none. Acknowledgements go first: they make room at
    /// the peer.</summary>
    internal ChannelMessage? Next(Func<PeerLink, Heartbeat> heartbeat, out bool isBatch)
    {
        isBatch = false;
        if (_dropped is long dropped)
        {
            _dropped = null;
            return Acknowledge(dropped, _droppedIncarnation);
        }

        if (Link.Acknowledgeable > Math.Max(_acknowledged, 0))
        {
            _acknowledged = Link.Acknowledgeable;
            return Acknowledge(_acknowledged, Incarnation);
        }

        if (HeartbeatDue)
        {
            HeartbeatDue = false;
            return new ChannelMessage { Heartbeat = heartbeat(Link) };
        }

        if (Link.Waits || !_toSend.TryDequeue(out SentBatch batch))
        {
            return null;
        }

        isBatch = true;
        return new ChannelMessage
        {
            Batch = new Batch
            {
                Incarnation = (ulong)Incarnation,
                Sn = (ulong)batch.Index,
                Sequence = (ulong)batch.Sequence,
                FrameCount = (uint)FrameBatch.Check(batch.Frames.Span),
                Frames = UnsafeByteOperations.UnsafeWrap(batch.Frames),
                OriginIncarnation = (ulong)batch.Origin,
            },
        };
    }

    /// <summary>A batch came again that was taken over already: its sender has not seen that.</summary>
    internal void AcknowledgeAgain()
    {
        _acknowledged = -1;
        Signal();
    }

    private static ChannelMessage Acknowledge(long through, int incarnation) => new()
    {
        Acknowledgement = new Acknowledgement { Through = (ulong)through, Incarnation = (ulong)incarnation },
    };
}
