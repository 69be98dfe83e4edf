using XenTwoLevelCkpt.Rpc.Client;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc.Nodes;

/// <summary>xtlckpt.v1.NodeControl at a client; node_control.proto tells what the methods do. Those that answer once throw
/// <see cref="StatusException"/>; streams do so when they are read.</summary>
/// <param name="channel">The way to the node; not disposed with this.</param>
public sealed class NodeControlClient(RpcChannel channel)
{
    /// <summary>The node.</summary>
    /// <param name="options">Of this call.</param>
    public Task<Node> GetNodeAsync(CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.GetNode, new GetNodeRequest(), options);

    /// <summary>The domains.</summary>
    /// <param name="options">Of this call.</param>
    public Task<ListDomainsResponse> ListDomainsAsync(CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.ListDomains, new ListDomainsRequest(), options);

    /// <summary>Takes a checkpoint.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public ServerStreamingCall<CheckpointUpdate> Checkpoint(CheckpointRequest request, CallOptions options = default) =>
        channel.ServerStreaming(NodeControlMethods.Checkpoint, request, options);

    /// <summary>The checkpoints.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public Task<ListCheckpointsResponse> ListCheckpointsAsync(
        ListCheckpointsRequest request, CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.ListCheckpoints, request, options);

    /// <summary>One checkpoint.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public Task<ShowCheckpointResponse> ShowCheckpointAsync(
        ShowCheckpointRequest request, CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.ShowCheckpoint, request, options);

    /// <summary>Checks checkpoints.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public ServerStreamingCall<VerifyUpdate> Verify(VerifyRequest request, CallOptions options = default) =>
        channel.ServerStreaming(NodeControlMethods.Verify, request, options);

    /// <summary>Brings domains back.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public ServerStreamingCall<RestoreUpdate> Restore(RestoreRequest request, CallOptions options = default) =>
        channel.ServerStreaming(NodeControlMethods.Restore, request, options);

    /// <summary>The node's part of a recovery.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public Task<RecoverResponse> RecoverAsync(RecoverRequest request, CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.Recover, request, options);

    /// <summary>Removes what no recovery can need.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public Task<CollectGarbageResponse> CollectGarbageAsync(
        CollectGarbageRequest request, CallOptions options = default) =>
        channel.UnaryAsync(NodeControlMethods.CollectGarbage, request, options);

    /// <summary>What happens.</summary>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    public ServerStreamingCall<Event> WatchEvents(WatchEventsRequest request, CallOptions options = default) =>
        channel.ServerStreaming(NodeControlMethods.WatchEvents, request, options);
}

/// <summary>xtlckpt.v1.NodeChannel at a client; node_channel.proto tells what it does.</summary>
/// <param name="channel">The way to the other node; not disposed with this.</param>
public sealed class NodeChannelClient(RpcChannel channel)
{
    /// <summary>Opens the channel between two nodes.</summary>
    /// <param name="options">Of this call.</param>
    public BidirectionalCall<ChannelMessage, ChannelMessage> Exchange(CallOptions options = default) =>
        channel.Bidirectional(NodeChannelMethods.Exchange, options);
}
