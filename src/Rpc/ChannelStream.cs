using System.Runtime.CompilerServices;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>A channel between two nodes, from either end. One reader and one writer at a time. What befalls it comes out as
/// <see cref="StatusException"/>; as <see cref="OperationCanceledException"/> where this side gave it up, or (at a server) the
/// client is gone.</summary>
/// <param name="reader">What the other node sends.</param>
/// <param name="writer">Takes what this node sends.</param>
/// <param name="life">Cancelled when the call is over.</param>
public class ChannelStream(
    IAsyncStreamReader<ChannelMessage> reader, IAsyncStreamWriter<ChannelMessage> writer, CancellationToken life)
{
    /// <summary>Waits for the next message. Nothing is read ahead beyond HTTP/2's window, so a node that is not read from
    /// waits.</summary>
    /// <param name="cancellationToken">Gives up the wait, and by that the call.</param>
    /// <returns>The message, or null behind the last one.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ChannelMessage?> ReadAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await reader.MoveNext(cancellationToken).ConfigureAwait(false) ? reader.Current : null;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw Judge(e, cancellationToken);
        }
    }

    /// <summary>Sends a message; waits while the node takes no more.</summary>
    /// <param name="message">The message; not changed until the call is over.</param>
    /// <param name="cancellationToken">Gives up the wait, and by that the call.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask WriteAsync(ChannelMessage message, CancellationToken cancellationToken = default)
    {
        try
        {
            await PutAsync(writer, message, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw Judge(e, cancellationToken);
        }
    }

    /// <summary>Sends a message. At a server the library resets the stream where a write is given up, and the status that the
    /// handler ends with would be lost: the wait alone is given up.</summary>
    private protected virtual Task PutAsync(
        IAsyncStreamWriter<ChannelMessage> to, ChannelMessage message, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Task writing = to.WriteAsync(message, CancellationToken.None);
        return writing.IsCompleted ? writing : writing.WaitAsync(cancellationToken);
    }

    /// <summary>Judges a connection that broke. At a server it is Kestrel's word for a stream that was reset, too, which may come
    /// before it cancels the call.</summary>
    /// <param name="e">What broke.</param>
    private protected virtual Exception Broken(Exception e) => new OperationCanceledException("The other node is gone.", e, life);

    private Exception Judge(Exception e, CancellationToken cancellationToken) => e switch
    {
        RpcException status => StatusMapping.From(status, cancellationToken.IsCancellationRequested ? cancellationToken : life),
        // HttpClient tells a writer of a connection that ended by either.
        IOException or HttpRequestException => Broken(e),
        // The library's word for a call that is over.
        _ when life.IsCancellationRequested => new OperationCanceledException("The channel is over.", e, life),
        _ => e,
    };
}

/// <summary>A channel that this node opened. To be disposed, which gives it up where it has not ended.</summary>
public sealed class ChannelCall : ChannelStream, IDisposable
{
    private readonly AsyncDuplexStreamingCall<ChannelMessage, ChannelMessage> _call;

    internal ChannelCall(AsyncDuplexStreamingCall<ChannelMessage, ChannelMessage> call, CancellationToken life)
        : base(call.ResponseStream, call.RequestStream, life) => _call = call;

    /// <summary>No more messages follow. The other node's may.</summary>
    public Task CompleteAsync() => _call.RequestStream.CompleteAsync();

    /// <inheritdoc/>
    public void Dispose() => _call.Dispose();

    private protected override Task PutAsync(
        IAsyncStreamWriter<ChannelMessage> to, ChannelMessage message, CancellationToken cancellationToken) =>
        to.WriteAsync(message, cancellationToken);

    // A server that has had enough says so, and then resets the stream, which a writer may meet first.
    private protected override Exception Broken(Exception e)
    {
        try
        {
            if (_call.GetStatus() is { StatusCode: not StatusCode.OK } status)
            {
                return StatusMapping.From(new RpcException(status, _call.GetTrailers()), CancellationToken.None);
            }
        }
        catch (InvalidOperationException)
        {
            // The call is not over yet: there is no status.
        }

        return new StatusException(StatusCode.Unavailable, (e.InnerException ?? e).Message, inner: e);
    }
}
