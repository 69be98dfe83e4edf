using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Judges how calls end: <see cref="StatusException"/> as the handler says; what a handler gave up by how it came
/// about; anything else as INTERNAL, told in the log and not to the client.</summary>
/// <param name="lifetime">The host's.</param>
/// <param name="logging">Takes what handlers throw beside <see cref="StatusException"/>.</param>
internal sealed class ServerInterceptor(IHostApplicationLifetime lifetime, ILoggerFactory logging) : Interceptor
{
    private readonly RpcLog _log = new(logging.CreateLogger("Rpc"));

    /// <inheritdoc/>
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(request, context).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            throw Judge(e, context);
        }
    }

    /// <inheritdoc/>
    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await EndAsync(continuation(request, new Writer<TResponse>(responseStream, context), context), context)
                .ConfigureAwait(false);
        }
        catch (Exception e)
        {
            throw Judge(e, context);
        }
    }

    /// <inheritdoc/>
    public override async Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await EndAsync(continuation(requestStream, responseStream, context), context).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            throw Judge(e, context);
        }
    }

    // gRPC's own services (health, reflection) know of no end of the server: their streams would hold it up.
    private Task EndAsync(Task handler, ServerCallContext context) =>
        context.Method.StartsWith("/grpc.", StringComparison.Ordinal)
            ? handler.WaitAsync(lifetime.ApplicationStopping)
            : handler;

    private Exception Judge(Exception e, ServerCallContext context)
    {
        switch (e)
        {
            case StatusException status:
                return StatusMapping.ToRpc(status);
            case RpcException:
                return e;
            case OperationCanceledException when context.CancellationToken.IsCancellationRequested:
            case IOException when context.CancellationToken.IsCancellationRequested:
                // The client is gone, or the deadline has passed, which the library tells.
                return new OperationCanceledException(e.Message, e, context.CancellationToken);
            // A call that comes last of all finds the host's services disposed.
            case ObjectDisposedException { ObjectName: nameof(IServiceProvider) }:
            case OperationCanceledException when lifetime.ApplicationStopping.IsCancellationRequested:
                return new RpcException(new Status(StatusCode.Unavailable, "The server is stopping."));
            case OperationCanceledException:
                return new RpcException(new Status(StatusCode.Cancelled, "The call was cancelled."));
            default:
                // What it says may be nobody's business: it is in the log.
                _log.HandlerFailed(context.Method, e);
                return new RpcException(new Status(StatusCode.Internal, "The call failed; the server's log tells why."));
        }
    }

    /// <summary>Tells a handler that its client is gone as what it is, and not as a misuse of the stream.</summary>
    private sealed class Writer<T>(IServerStreamWriter<T> inner, ServerCallContext context) : IServerStreamWriter<T>
    {
        public WriteOptions? WriteOptions
        {
            get => inner.WriteOptions;
            set => inner.WriteOptions = value;
        }

        public Task WriteAsync(T message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(T message, CancellationToken cancellationToken)
        {
            try
            {
                await inner.WriteAsync(message, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (e is not OperationCanceledException && context.CancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException("The client is gone.", e, context.CancellationToken);
            }
        }
    }
}
