namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Limits of a server.</summary>
public sealed record RpcServerOptions
{
    /// <summary>The longest message taken, in octets. gRPC libraries commonly take 4 MiB; a peer that sends more than it
    /// should costs this much memory at most for each of its calls.</summary>
    public int MaxReceiveLength { get; init; } = 4 << 20;

    /// <summary>The longest message sent, in octets. gRPC clients commonly take 4 MiB.</summary>
    public int MaxSendLength { get; init; } = 4 << 20;

    /// <summary>Cancelled when the server is to stop (the host's <c>ApplicationStopping</c>).</summary>
    public CancellationToken Stopping { get; init; }
}
