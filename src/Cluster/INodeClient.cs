using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster;

/// <summary>A node of a cluster, as far as whoever leads the cluster asks it. Calls fail with
/// <see cref="StatusException"/>, as node_control.proto says.</summary>
public interface INodeClient
{
    /// <summary>The node's name in the cluster.</summary>
    string Name { get; }

    /// <summary>The node.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    Task<Node> GetNodeAsync(CancellationToken cancellationToken);

    /// <summary>All of its checkpoints, in the order of their epochs.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    Task<IReadOnlyList<Checkpoint>> ListCheckpointsAsync(CancellationToken cancellationToken);

    /// <summary>Its part of a recovery.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Gives up.</param>
    Task<RecoverResponse> RecoverAsync(RecoverRequest request, CancellationToken cancellationToken);

    /// <summary>Removes what no recovery can need.</summary>
    /// <param name="request">The request.</param>
    /// <param name="cancellationToken">Gives up.</param>
    Task<CollectGarbageResponse> CollectGarbageAsync(CollectGarbageRequest request, CancellationToken cancellationToken);
}

/// <summary>A node that is asked over gRPC.</summary>
public sealed class RemoteNode : INodeClient, IDisposable
{
    /// <summary>How long a node has to say how it is, unless told otherwise: one whose daemon hangs is one that does not answer.
    /// A Dom0 that is busy with a checkpoint, on an emulated processor, takes more than 5 s.</summary>
    public static TimeSpan DefaultPatience { get; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may take: a host without power does not refuse it.</summary>
    private static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(10);

    private readonly RpcChannel _channel;
    private readonly NodeControl.NodeControlClient _client;
    private readonly TimeSpan _patience;

    /// <summary>Makes ready; connects with the first call.</summary>
    /// <param name="member">Which node.</param>
    /// <param name="patience">How long it has to say how it is; null for <see cref="DefaultPatience"/>.</param>
    public RemoteNode(ClusterMember member, TimeSpan? patience = null)
    {
        ArgumentNullException.ThrowIfNull(member);
        Name = member.Name;
        _patience = patience ?? DefaultPatience;
        var options = new RpcChannelOptions { ConnectTimeout = ConnectPatience };
        _channel = member.Socket is { } path
            ? RpcChannel.ForUnixSocket(path, options)
            : RpcChannel.ForTcp(member.Host, member.Port, options);
        _client = new NodeControl.NodeControlClient(_channel.Invoker);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public Task<Node> GetNodeAsync(CancellationToken cancellationToken) =>
        _client.GetNodeAsync(
            new GetNodeRequest(), deadline: DateTime.UtcNow + _patience, cancellationToken: cancellationToken).ResponseAsync;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<Checkpoint>> ListCheckpointsAsync(CancellationToken cancellationToken)
    {
        var all = new List<Checkpoint>();
        ListCheckpointsResponse part;
        do
        {
            part = await _client.ListCheckpointsAsync(
                new ListCheckpointsRequest { AfterEpoch = all.Count == 0 ? 0 : all[^1].Epoch, Limit = 1000 },
                cancellationToken: cancellationToken).ResponseAsync.ConfigureAwait(false);
            all.AddRange(part.Checkpoints);
        }
        while (part.More);
        return all;
    }

    /// <inheritdoc/>
    public Task<RecoverResponse> RecoverAsync(RecoverRequest request, CancellationToken cancellationToken) =>
        _client.RecoverAsync(request, cancellationToken: cancellationToken).ResponseAsync;

    /// <inheritdoc/>
    public Task<CollectGarbageResponse> CollectGarbageAsync(
        CollectGarbageRequest request, CancellationToken cancellationToken) =>
        _client.CollectGarbageAsync(request, cancellationToken: cancellationToken).ResponseAsync;

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();
}
