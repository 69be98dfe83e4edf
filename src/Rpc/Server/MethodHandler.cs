using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>A method with its handler.</summary>
internal abstract class MethodHandler(string path, string name, MethodKind kind)
{
    internal string Path { get; } = path;

    internal string Name { get; } = name;

    internal bool RequestsAreStreamed { get; } = kind is MethodKind.ClientStreaming or MethodKind.Bidirectional;

    /// <summary>Runs the handler. A response that stands alone is left in the pipe, so that it leaves with the trailers.
    /// </summary>
    internal abstract Task RunAsync(ServerCall call);
}

internal sealed class UnaryMethodHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, UnaryHandler<TRequest, TResponse> handler)
    : MethodHandler(method.Path, method.Name, method.Kind)
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    internal override async Task RunAsync(ServerCall call)
    {
        TRequest request = await call.Reader<TRequest>().ReadOnlyOneAsync().ConfigureAwait(false);
        call.Writer<TResponse>().Put(await handler(request, call.Context).ConfigureAwait(false));
    }
}

internal sealed class ServerStreamingMethodHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, ServerStreamingHandler<TRequest, TResponse> handler)
    : MethodHandler(method.Path, method.Name, method.Kind)
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    internal override async Task RunAsync(ServerCall call)
    {
        TRequest request = await call.Reader<TRequest>().ReadOnlyOneAsync().ConfigureAwait(false);
        await handler(request, call.Writer<TResponse>(), call.Context).ConfigureAwait(false);
    }
}

internal sealed class ClientStreamingMethodHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, ClientStreamingHandler<TRequest, TResponse> handler)
    : MethodHandler(method.Path, method.Name, method.Kind)
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    internal override async Task RunAsync(ServerCall call) =>
        call.Writer<TResponse>().Put(await handler(call.Reader<TRequest>(), call.Context).ConfigureAwait(false));
}

internal sealed class BidirectionalMethodHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, BidirectionalHandler<TRequest, TResponse> handler)
    : MethodHandler(method.Path, method.Name, method.Kind)
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    internal override Task RunAsync(ServerCall call) =>
        handler(call.Reader<TRequest>(), call.Writer<TResponse>(), call.Context);
}
