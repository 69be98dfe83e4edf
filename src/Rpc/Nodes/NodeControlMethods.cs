using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc.Nodes;

/// <summary>The methods of xtlckpt.v1.NodeControl; node_control.proto tells what they do.</summary>
public static class NodeControlMethods
{
    /// <summary>The service's full name.</summary>
    public const string Service = "xtlckpt.v1.NodeControl";

    /// <summary>The node.</summary>
    public static Method<GetNodeRequest, Node> GetNode { get; } = new(MethodKind.Unary, Service, "GetNode");

    /// <summary>The domains.</summary>
    public static Method<ListDomainsRequest, ListDomainsResponse> ListDomains { get; } =
        new(MethodKind.Unary, Service, "ListDomains");

    /// <summary>Takes a checkpoint.</summary>
    public static Method<CheckpointRequest, CheckpointUpdate> Checkpoint { get; } =
        new(MethodKind.ServerStreaming, Service, "Checkpoint");

    /// <summary>The checkpoints.</summary>
    public static Method<ListCheckpointsRequest, ListCheckpointsResponse> ListCheckpoints { get; } =
        new(MethodKind.Unary, Service, "ListCheckpoints");

    /// <summary>One checkpoint.</summary>
    public static Method<ShowCheckpointRequest, ShowCheckpointResponse> ShowCheckpoint { get; } =
        new(MethodKind.Unary, Service, "ShowCheckpoint");

    /// <summary>Checks checkpoints.</summary>
    public static Method<VerifyRequest, VerifyUpdate> Verify { get; } =
        new(MethodKind.ServerStreaming, Service, "Verify");

    /// <summary>Brings domains back.</summary>
    public static Method<RestoreRequest, RestoreUpdate> Restore { get; } =
        new(MethodKind.ServerStreaming, Service, "Restore");

    /// <summary>The node's part of a recovery.</summary>
    public static Method<RecoverRequest, RecoverResponse> Recover { get; } = new(MethodKind.Unary, Service, "Recover");

    /// <summary>Removes what no recovery can need.</summary>
    public static Method<CollectGarbageRequest, CollectGarbageResponse> CollectGarbage { get; } =
        new(MethodKind.Unary, Service, "CollectGarbage");

    /// <summary>What happens.</summary>
    public static Method<WatchEventsRequest, Event> WatchEvents { get; } =
        new(MethodKind.ServerStreaming, Service, "WatchEvents");
}

/// <summary>The method of xtlckpt.v1.NodeChannel; node_channel.proto tells what it does.</summary>
public static class NodeChannelMethods
{
    /// <summary>The service's full name.</summary>
    public const string Service = "xtlckpt.v1.NodeChannel";

    /// <summary>The channel between two nodes.</summary>
    public static Method<ChannelMessage, ChannelMessage> Exchange { get; } =
        new(MethodKind.Bidirectional, Service, "Exchange");
}
