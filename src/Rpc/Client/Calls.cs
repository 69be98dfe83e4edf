using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>A call whose responses are a stream. To be disposed, which gives it up where it has not ended.</summary>
/// <typeparam name="TResponse">The responses' type.</typeparam>
public sealed class ServerStreamingCall<TResponse> : IMessageReader<TResponse>, IDisposable
    where TResponse : class, IMessage<TResponse>, new()
{
    private readonly ClientCall<TResponse> _call;

    internal ServerStreamingCall(ClientCall<TResponse> call) => _call = call;

    /// <summary>What the server sent behind the messages; empty before the end.</summary>
    public Metadata Trailers => _call.Trailers;

    /// <summary>Waits for what the server sends before the messages.</summary>
    public Task<Metadata> GetHeadersAsync() => _call.HeadersAsync();

    /// <inheritdoc/>
    public ValueTask<TResponse?> ReadAsync(CancellationToken cancellationToken = default) =>
        _call.ReadAsync(cancellationToken);

    /// <inheritdoc/>
    public void Dispose() => _call.Dispose();
}

/// <summary>A call whose requests are a stream. To be disposed, which gives it up where it has not ended.</summary>
/// <typeparam name="TRequest">The requests' type.</typeparam>
/// <typeparam name="TResponse">The response's type.</typeparam>
public sealed class ClientStreamingCall<TRequest, TResponse> : IMessageWriter<TRequest>, IDisposable
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private readonly ClientCall<TResponse> _call;
    private readonly RequestWriter<TRequest, TResponse> _requests;

    internal ClientStreamingCall(ClientCall<TResponse> call, StreamedContent<TRequest> requests)
    {
        _call = call;
        _requests = new RequestWriter<TRequest, TResponse>(call, requests);
    }

    /// <summary>What the server sent behind the response; empty before the end.</summary>
    public Metadata Trailers => _call.Trailers;

    /// <inheritdoc/>
    public ValueTask WriteAsync(TRequest message, CancellationToken cancellationToken = default) =>
        _requests.WriteAsync(message, cancellationToken);

    /// <summary>Ends the requests and waits for the response. A server that has had enough before fails
    /// <see cref="WriteAsync"/>; this tells its status then.</summary>
    /// <exception cref="StatusException">The call failed.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public Task<TResponse> CompleteAsync()
    {
        _requests.Complete();
        return _call.ReadOnlyOneAsync();
    }

    /// <inheritdoc/>
    public void Dispose() => _requests.Dispose();
}

/// <summary>A call with a stream in both directions, which are independent of each other. To be disposed, which gives it
/// up where it has not ended.</summary>
/// <typeparam name="TRequest">The requests' type.</typeparam>
/// <typeparam name="TResponse">The responses' type.</typeparam>
public sealed class BidirectionalCall<TRequest, TResponse>
    : IMessageReader<TResponse>, IMessageWriter<TRequest>, IDisposable
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private readonly ClientCall<TResponse> _call;
    private readonly RequestWriter<TRequest, TResponse> _requests;

    internal BidirectionalCall(ClientCall<TResponse> call, StreamedContent<TRequest> requests)
    {
        _call = call;
        _requests = new RequestWriter<TRequest, TResponse>(call, requests);
    }

    /// <summary>What the server sent behind the messages; empty before the end.</summary>
    public Metadata Trailers => _call.Trailers;

    /// <summary>Waits for what the server sends before the messages.</summary>
    public Task<Metadata> GetHeadersAsync() => _call.HeadersAsync();

    /// <inheritdoc/>
    public ValueTask<TResponse?> ReadAsync(CancellationToken cancellationToken = default) =>
        _call.ReadAsync(cancellationToken);

    /// <summary>Sends a message; waits while the server takes no more. Where the server has ended the call, reading tells
    /// how.</summary>
    /// <param name="message">The message.</param>
    /// <param name="cancellationToken">Gives up the wait, and by that the call.</param>
    /// <exception cref="StatusException">The message is longer than the limit, or the call is over.</exception>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public ValueTask WriteAsync(TRequest message, CancellationToken cancellationToken = default) =>
        _requests.WriteAsync(message, cancellationToken);

    /// <summary>No more requests follow. Responses may.</summary>
    public void CompleteRequests() => _requests.Complete();

    /// <inheritdoc/>
    public void Dispose() => _requests.Dispose();
}
