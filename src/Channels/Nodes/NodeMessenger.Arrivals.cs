using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>What peers say on their streams.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    private void Take(LinkSession session, ChannelMessage message)
    {
        switch (message.KindCase)
        {
            case ChannelMessage.KindOneofCase.Batch:
                WireRules.Batch(message.Batch, session.Incarnation, _uplink.HeaderSize);
                break;
            case ChannelMessage.KindOneofCase.Heartbeat:
                WireRules.Heartbeat(message.Heartbeat, session.Incarnation);
                break;
            case ChannelMessage.KindOneofCase.Acknowledgement:
                break;
            case ChannelMessage.KindOneofCase.Hello:
                throw WireRules.Invalid("A stream has one Hello.");
            default:
                throw WireRules.Invalid("A message is empty.");
        }

        lock (_lock)
        {
            PeerLink link = session.Link;
            if (link.Session != session || _phase != MessengerPhase.Running)
            {
                throw new OperationCanceledException("The stream is over.");
            }

            link.Heard();
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
                }
            }
            else
            {
                TakeAcknowledgement(session, message.Acknowledgement);
            }
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
            Order();
        }

        RoomMade();
    }
}
