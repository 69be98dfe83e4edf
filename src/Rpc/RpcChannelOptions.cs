namespace XenTwoLevelCkpt.Rpc;

/// <summary>Limits and times of a channel.</summary>
public sealed record RpcChannelOptions
{
    /// <summary>The longest message taken, in octets.</summary>
    public int MaxReceiveLength { get; init; } = 4 << 20;

    /// <summary>The longest message sent, in octets.</summary>
    public int MaxSendLength { get; init; } = 4 << 20;

    /// <summary>How long a connection may take to come about. Beyond it the call is
    /// UNAVAILABLE.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A connection with calls on which nothing came for this long is asked for a sign of life; at least 1 s, and
    /// no less than the server bears: Kestrel bears any. <see cref="Timeout.InfiniteTimeSpan"/> asks never.</summary>
    public TimeSpan KeepAlivePingDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the sign of life may take; at least 1 s. Beyond it the connection ends, and its calls with
    /// UNAVAILABLE.</summary>
    public TimeSpan KeepAlivePingTimeout { get; init; } = TimeSpan.FromSeconds(20);
}
