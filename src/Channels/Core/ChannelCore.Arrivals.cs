using System.Buffers;
using System.Runtime.InteropServices;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>What comes from peers and leaves for them.</content>
internal sealed partial class ChannelCore<TProtocol>
{
    /// <summary>The open batch of a link leaves, with the index of now. The owner's router fills no other one of the link meanwhile.
    /// </summary>
    /// <param name="link">The link.</param>
    /// <param name="beyond">True for what has to leave before a checkpoint or a stop, whether there is room or not.</param>
    /// <returns>False where there is no room.</returns>
    internal bool TrySeal(PeerLink link, bool beyond)
    {
        bool room = beyond || (!IsHolding && link.Out.HasRoomFor(link.Open.Used));
        link.FullSince = room || IsHolding ? null : link.FullSince ?? _clock.GetTimestamp();
        if (!room)
        {
            return false;
        }

        long index = _gate.Stamp(link.Number);
        SentBatch batch = link.Seal(index, _gate.Incarnation, beyond);
        _trace.Sent(link.Number, batch);
        link.Session?.Enqueue(batch);
        return true;
    }

    /// <summary>A link that is only slow holds the guests back, who take that for a slow network; one that is stuck does not.</summary>
    internal bool IsStuck(PeerLink link) => link.IsStuck(_clock, _options.Patience);

    /// <summary>A peer's message on an open stream.</summary>
    /// <param name="session">The stream.</param>
    /// <param name="message">What it says, as <see cref="RequireSense"/> has found it.</param>
    /// <exception cref="StatusException">It contradicts what was said before; the stream ends.</exception>
    /// <exception cref="OperationCanceledException">The stream is over.</exception>
    internal void Take(LinkSession session, ChannelMessage message)
    {
        PeerLink link = session.Link;
        if (link.Session != session || _phase != MessengerPhase.Running || session.Incarnation != _gate.Incarnation)
        {
            // The last: it was read before a recovery, and waited for the lock until that was over.
            throw new OperationCanceledException("The stream is over.");
        }

        link.Heard(_clock);
        if (message.Batch is { } batch)
        {
            TakeBatch(session, batch);
        }
        else if (message.Heartbeat is { } heartbeat)
        {
            if (heartbeat.Incarnation == (ulong)session.Incarnation)
            {
                link.Index = (long)heartbeat.Sn;
                link.DurableIndex = (long)heartbeat.DurableSn;
                link.SettledIncarnation = (int)heartbeat.SettledIncarnation;
            }
        }
        else
        {
            TakeAcknowledgement(session, message.Acknowledgement);
        }
    }

    /// <summary>Says whether a message makes sense by itself. Any thread, without a lock.</summary>
    /// <exception cref="StatusException">It does not; the stream ends.</exception>
    internal static void RequireSense(ChannelMessage message, int incarnation, int headerSize)
    {
        switch (message.KindCase)
        {
            case ChannelMessage.KindOneofCase.Batch:
                WireRules.Batch(message.Batch, incarnation, headerSize);
                break;
            case ChannelMessage.KindOneofCase.Heartbeat:
                WireRules.Heartbeat(message.Heartbeat, incarnation);
                break;
            case ChannelMessage.KindOneofCase.Acknowledgement:
                break;
            case ChannelMessage.KindOneofCase.Hello:
                throw WireRules.Invalid("A stream has one Hello.");
            default:
                throw WireRules.Invalid("A message is empty.");
        }
    }

    /// <summary>True while too much waits for a checkpoint for more to be read from a stream.</summary>
    internal bool Rests(LinkSession session)
    {
        session.Rests = _gate.IsFull;
        return session.Rests;
    }

    /// <summary>More of the log is on disk, and can be acknowledged.</summary>
    internal void LogChanged()
    {
        foreach (PeerLink link in _topology.All)
        {
            link.LogCommitted(_log.Committed);
            link.Session?.Signal();
        }
    }

    /// <inheritdoc/>
    void IArrivals.Deliver(in ArrivedBatch batch, bool logged)
    {
        PeerLink link = _topology.LinkOf(batch);
        Hand(link, batch.Frames.Span, batch.Origin);
        link.In.Settle(batch.Sequence);
        if (logged)
        {
            link.AwaitLog(batch.Sequence, _log.Append(new LoggedBatch(
                link.Name, batch.Origin, batch.Sequence, batch.Index, _gate.Index, _history.Ordinal, batch.Frames, link.End?.Name)));
        }

        _trace.Delivered(
            batch.From, batch.To < 0 ? _topology.Number : batch.To, batch.Origin, batch.Sequence, _gate.Index, logged);
        link.Session?.Signal();
        if (batch.Pooled && MemoryMarshal.TryGetArray(batch.Frames, out ArraySegment<byte> frames))
        {
            // The guests and the log have copies.
            ArrayPool<byte>.Shared.Return(frames.Array!);
        }
    }

    /// <inheritdoc/>
    void IArrivals.Reject(in ArrivedBatch batch)
    {
        // Streams end with an incarnation, and what the gate holds is dropped with them.
    }

    /// <inheritdoc/>
    void IArrivals.BeginCheckpoint(long label, ArrivedBatch? forcedBy)
    {
        _pending = forcedBy is { } message
            ? new BegunCheckpoint(
                label, CheckpointCause.Forced, new ForcingMessage(_topology[message.From]!.Name, message.Index))
            : new BegunCheckpoint(label, _cause, null);
        _effects.Begin(_pending);
    }

    // Gives frames to the local guests. Who sent them is at the other end of the link, unless that is here.
    private void Hand(PeerLink link, ReadOnlySpan<byte> frames, int origin)
    {
        Audience? audience = _topology.AudienceOf(link.End, origin);
        int? sender = _topology.SenderOf(link);
        foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(frames))
        {
            _effects.Deliver(frame, sender, audience);
        }
    }

    private void TakeBatch(LinkSession session, Batch batch)
    {
        PeerLink link = session.Link;
        if (batch.Incarnation < (ulong)session.Incarnation)
        {
            session.Drop((long)Math.Min(batch.Sequence, long.MaxValue), (int)batch.Incarnation);
            batch.ReleaseFrames();
            return;
        }

        long sequence = (long)Math.Min(batch.Sequence, long.MaxValue);
        try
        {
            if (!link.In.Accept(sequence))
            {
                session.AcknowledgeAgain();
                batch.ReleaseFrames();
                return;
            }
        }
        catch (ChannelException e)
        {
            throw new StatusException(StatusCode.OutOfRange, e.Message, inner: e);
        }

        link.Index = Math.Max(link.Index, (long)batch.Sn);
        _gate.Arrive(new ArrivedBatch(
            link.Number, session.Incarnation, (long)batch.Sn, sequence, batch.Frames.Memory, (int)batch.OriginIncarnation,
            batch.IsPooled, link.End?.Number ?? -1));
    }

    private void TakeAcknowledgement(LinkSession session, Acknowledgement acknowledgement)
    {
        long through = WireRules.Number(acknowledgement.Through, "through");
        if (acknowledgement.Incarnation > (ulong)session.Incarnation)
        {
            throw WireRules.Invalid(
                $"The acknowledgement is of incarnation {acknowledgement.Incarnation}, the stream of {session.Incarnation}.");
        }

        if (acknowledgement.Incarnation < (ulong)session.Incarnation)
        {
            return;
        }

        try
        {
            session.Link.Out.Acknowledge(through);
        }
        catch (ChannelException e)
        {
            throw WireRules.Invalid(e.Message, e);
        }

        if (session.Link.EndedIn != int.MaxValue)
        {
            _topology.Order();
        }

        _effects.RoomMade();
    }
}
