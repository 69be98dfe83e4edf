using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc.Nodes;

/// <summary>xtlckpt.v1.NodeControl at a server; node_control.proto tells what the methods do, and their errors.</summary>
public abstract class NodeControlService
{
    /// <summary>The service for a server.</summary>
    public ServiceDefinition Define() => new ServiceBuilder(NodeControlReflection.Descriptor.Services[0])
        .Unary(NodeControlMethods.GetNode, GetNodeAsync)
        .Unary(NodeControlMethods.ListDomains, ListDomainsAsync)
        .ServerStreaming(NodeControlMethods.Checkpoint, CheckpointAsync)
        .Unary(NodeControlMethods.ListCheckpoints, ListCheckpointsAsync)
        .Unary(NodeControlMethods.ShowCheckpoint, ShowCheckpointAsync)
        .ServerStreaming(NodeControlMethods.Verify, VerifyAsync)
        .ServerStreaming(NodeControlMethods.Restore, RestoreAsync)
        .Unary(NodeControlMethods.Recover, RecoverAsync)
        .Unary(NodeControlMethods.CollectGarbage, CollectGarbageAsync)
        .ServerStreaming(NodeControlMethods.WatchEvents, WatchEventsAsync)
        .Build();

    /// <summary>The node.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<Node> GetNodeAsync(GetNodeRequest request, CallContext call);

    /// <summary>The domains.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<ListDomainsResponse> ListDomainsAsync(ListDomainsRequest request, CallContext call);

    /// <summary>Takes a checkpoint.</summary>
    /// <param name="request">The request.</param>
    /// <param name="responses">Takes progress, and the report as the last message.</param>
    /// <param name="call">The call.</param>
    protected abstract Task CheckpointAsync(
        CheckpointRequest request, IMessageWriter<CheckpointUpdate> responses, CallContext call);

    /// <summary>The checkpoints.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<ListCheckpointsResponse> ListCheckpointsAsync(
        ListCheckpointsRequest request, CallContext call);

    /// <summary>One checkpoint.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<ShowCheckpointResponse> ShowCheckpointAsync(ShowCheckpointRequest request, CallContext call);

    /// <summary>Checks checkpoints.</summary>
    /// <param name="request">The request.</param>
    /// <param name="responses">Takes findings and progress, and the summary as the last message.</param>
    /// <param name="call">The call.</param>
    protected abstract Task VerifyAsync(VerifyRequest request, IMessageWriter<VerifyUpdate> responses, CallContext call);

    /// <summary>Brings domains back.</summary>
    /// <param name="request">The request.</param>
    /// <param name="responses">Takes progress, and the result as the last message.</param>
    /// <param name="call">The call.</param>
    protected abstract Task RestoreAsync(
        RestoreRequest request, IMessageWriter<RestoreUpdate> responses, CallContext call);

    /// <summary>The node's part of a recovery.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<RecoverResponse> RecoverAsync(RecoverRequest request, CallContext call);

    /// <summary>Removes what no recovery can need.</summary>
    /// <param name="request">The request.</param>
    /// <param name="call">The call.</param>
    protected abstract Task<CollectGarbageResponse> CollectGarbageAsync(CollectGarbageRequest request, CallContext call);

    /// <summary>What happens. Ends when <see cref="CallContext.Stopping"/> is cancelled.</summary>
    /// <param name="request">The request.</param>
    /// <param name="responses">Takes the events.</param>
    /// <param name="call">The call.</param>
    protected abstract Task WatchEventsAsync(
        WatchEventsRequest request, IMessageWriter<Event> responses, CallContext call);
}

/// <summary>xtlckpt.v1.NodeChannel at a server; node_channel.proto tells what it does, and its errors.</summary>
public abstract class NodeChannelService
{
    /// <summary>The service for a server.</summary>
    public ServiceDefinition Define() => new ServiceBuilder(NodeChannelReflection.Descriptor.Services[0])
        .Bidirectional(NodeChannelMethods.Exchange, ExchangeAsync)
        .Build();

    /// <summary>The channel to a node that opened it. Ends when <see cref="CallContext.Stopping"/> is cancelled.</summary>
    /// <param name="received">What the other node sends.</param>
    /// <param name="sent">Takes what this node sends.</param>
    /// <param name="call">The call.</param>
    protected abstract Task ExchangeAsync(
        IMessageReader<ChannelMessage> received, IMessageWriter<ChannelMessage> sent, CallContext call);
}
