using Google.Protobuf;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>xtlckpt.v1.NodeChannel; node_channel.proto tells what it does, and its errors. Bound by hand, as generated
/// marshallers cannot be replaced: a batch's frames are taken into an array of the shared pool.</summary>
public static class NodeChannel
{
    private static readonly Marshaller<ChannelMessage> Marshaller = Marshallers.Create<ChannelMessage>(Write, Read);

    /// <summary>The channel between two nodes.</summary>
    public static Method<ChannelMessage, ChannelMessage> ExchangeMethod { get; } =
        new(MethodType.DuplexStreaming, "xtlckpt.v1.NodeChannel", "Exchange", Marshaller, Marshaller);

    /// <summary>Opens the channel to the node that a way leads to.</summary>
    /// <param name="channel">The way; not disposed with the call.</param>
    /// <param name="cancellationToken">Gives the call up.</param>
    public static ChannelCall Exchange(RpcChannel channel, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(channel);
        return new ChannelCall(
            channel.Calls.AsyncDuplexStreamingCall(
                ExchangeMethod, host: null, new CallOptions(cancellationToken: cancellationToken)),
            cancellationToken);
    }

    /// <summary>Called by gRPC's library, which finds the methods of a service so.</summary>
    /// <param name="binder">Takes the methods.</param>
    /// <param name="service">The service; null where only the methods are wanted.</param>
    public static void BindService(ServiceBinderBase binder, NodeChannelBase? service)
    {
        ArgumentNullException.ThrowIfNull(binder);
        binder.AddMethod(
            ExchangeMethod,
            service is null ? null : new DuplexStreamingServerMethod<ChannelMessage, ChannelMessage>(service.Exchange));
    }

    private static void Write(ChannelMessage message, SerializationContext context)
    {
        // Known before, so that the library writes into HTTP/2's own buffers.
        context.SetPayloadLength(message.CalculateSize());
        message.WriteTo(context.GetBufferWriter());
        context.Complete();
    }

    private static ChannelMessage Read(DeserializationContext context)
    {
        try
        {
            return ChannelMessage.Take(context.PayloadAsReadOnlySequence());
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new RpcException(new Status(StatusCode.Internal, $"A message is no ChannelMessage: {e.Message}"));
        }
    }
}

/// <summary>xtlckpt.v1.NodeChannel at a server.</summary>
[BindServiceMethod(typeof(NodeChannel), nameof(NodeChannel.BindService))]
public abstract class NodeChannelBase
{
    /// <summary>The channel to a node that opened it.</summary>
    /// <param name="requestStream">What the other node sends.</param>
    /// <param name="responseStream">Takes what this node sends.</param>
    /// <param name="context">The call.</param>
    public abstract Task Exchange(
        IAsyncStreamReader<ChannelMessage> requestStream, IServerStreamWriter<ChannelMessage> responseStream,
        ServerCallContext context);
}
