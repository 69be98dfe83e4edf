using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <summary>xtlckpt.v1.NodeChannel of a node.</summary>
/// <param name="messenger">Finds the node's messenger for each call: a recovery replaces it. Null while there is none.</param>
/// <param name="stopping">Cancelled when the server is to stop.</param>
public sealed class ChannelService(Func<NodeMessenger?> messenger, CancellationToken stopping) : NodeChannelBase
{
    /// <inheritdoc/>
    public override Task Exchange(
        IAsyncStreamReader<ChannelMessage> requestStream, IServerStreamWriter<ChannelMessage> responseStream,
        ServerCallContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        CancellationToken call = context.CancellationToken;
        return messenger() is { } one
            ? one.ServeAsync(new ChannelStream(requestStream, responseStream, call), call, stopping)
            : throw new StatusException(StatusCode.Unavailable, "The node has no channels yet.");
    }
}
