using System.Net;
using System.Net.Sockets;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>A way to one server: connections that are opened when calls need them, and opened again after they broke. Safe
/// for any number of calls side by side.</summary>
public sealed class RpcChannel : IDisposable
{
    private readonly HttpMessageInvoker _http;
    private readonly Uri _base;

    private RpcChannel(Uri address, SocketsHttpHandler handler, RpcChannelOptions options)
    {
        _base = address;
        Options = options;
        handler.UseProxy = false;
        handler.UseCookies = false;
        handler.AllowAutoRedirect = false;
        handler.ActivityHeadersPropagator = null;
        handler.ConnectTimeout = options.ConnectTimeout;
        handler.PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan;
        handler.KeepAlivePingDelay = options.KeepAlivePingDelay;
        handler.KeepAlivePingTimeout = options.KeepAlivePingTimeout;
        handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests;
        // Streams that last for ever would otherwise fill a connection (100 at Kestrel), and the next call would wait.
        handler.EnableMultipleHttp2Connections = true;
        _http = new HttpMessageInvoker(handler);
    }

    internal RpcChannelOptions Options { get; }

    /// <summary>A way to a server that listens on TCP, by HTTP/2 without TLS.</summary>
    /// <param name="host">A name or an address.</param>
    /// <param name="port">The port.</param>
    /// <param name="options">Limits and times.</param>
    public static RpcChannel ForTcp(string host, int port, RpcChannelOptions? options = null) => new(
        new UriBuilder(Uri.UriSchemeHttp, host, port).Uri, new SocketsHttpHandler(), options ?? new RpcChannelOptions());

    /// <summary>A way to a server that listens on a Unix domain socket.</summary>
    /// <param name="path">The socket's path.</param>
    /// <param name="options">Limits and times.</param>
    public static RpcChannel ForUnixSocket(string path, RpcChannelOptions? options = null)
    {
        var endPoint = new UnixDomainSocketEndPoint(path);
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(endPoint, cancellationToken).ConfigureAwait(false);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            },
        };
        return new RpcChannel(new Uri("http://localhost"), handler, options ?? new RpcChannelOptions());
    }

    /// <summary>Calls a method with one request and one response.</summary>
    /// <typeparam name="TRequest">The request's type.</typeparam>
    /// <typeparam name="TResponse">The response's type.</typeparam>
    /// <param name="method">The method.</param>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    /// <exception cref="StatusException">The call failed.</exception>
    /// <exception cref="OperationCanceledException">The caller gave it up.</exception>
    public async Task<TResponse> UnaryAsync<TRequest, TResponse>(
        Method<TRequest, TResponse> method, TRequest request, CallOptions options = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        CheckKind(method, MethodKind.Unary);
        using ClientCall<TResponse> call = Start(method, new SingleContent<TRequest>(request, Options), options);
        return await call.ReadOnlyOneAsync().ConfigureAwait(false);
    }

    /// <summary>Calls a method with one request and a stream of responses. Errors come out when the responses are read.
    /// </summary>
    /// <typeparam name="TRequest">The request's type.</typeparam>
    /// <typeparam name="TResponse">The responses' type.</typeparam>
    /// <param name="method">The method.</param>
    /// <param name="request">The request.</param>
    /// <param name="options">Of this call.</param>
    /// <exception cref="StatusException">The request is longer than the limit.</exception>
    public ServerStreamingCall<TResponse> ServerStreaming<TRequest, TResponse>(
        Method<TRequest, TResponse> method, TRequest request, CallOptions options = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        CheckKind(method, MethodKind.ServerStreaming);
        return new ServerStreamingCall<TResponse>(
            Start(method, new SingleContent<TRequest>(request, Options), options));
    }

    /// <summary>Calls a method with a stream of requests and one response.</summary>
    /// <typeparam name="TRequest">The requests' type.</typeparam>
    /// <typeparam name="TResponse">The response's type.</typeparam>
    /// <param name="method">The method.</param>
    /// <param name="options">Of this call.</param>
    public ClientStreamingCall<TRequest, TResponse> ClientStreaming<TRequest, TResponse>(
        Method<TRequest, TResponse> method, CallOptions options = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        CheckKind(method, MethodKind.ClientStreaming);
        var requests = new StreamedContent<TRequest>(Options);
        return new ClientStreamingCall<TRequest, TResponse>(
            Start(method, requests, options, requests), requests);
    }

    /// <summary>Calls a method with a stream in both directions.</summary>
    /// <typeparam name="TRequest">The requests' type.</typeparam>
    /// <typeparam name="TResponse">The responses' type.</typeparam>
    /// <param name="method">The method.</param>
    /// <param name="options">Of this call.</param>
    public BidirectionalCall<TRequest, TResponse> Bidirectional<TRequest, TResponse>(
        Method<TRequest, TResponse> method, CallOptions options = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        CheckKind(method, MethodKind.Bidirectional);
        var requests = new StreamedContent<TRequest>(Options);
        return new BidirectionalCall<TRequest, TResponse>(
            Start(method, requests, options, requests), requests);
    }

    /// <summary>Closes all connections; calls that are open end.</summary>
    public void Dispose() => _http.Dispose();

    private static void CheckKind<TRequest, TResponse>(Method<TRequest, TResponse> method, MethodKind kind)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (method.Kind != kind)
        {
            throw new ArgumentException($"{method.Path} is {method.Kind}, not {kind}.", nameof(method));
        }
    }

    private ClientCall<TResponse> Start<TRequest, TResponse>(
        Method<TRequest, TResponse> method, HttpContent content, CallOptions options, IRequestStream? requests = null)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_base, method.Path))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        return new ClientCall<TResponse>(_http, request, Options, options, requests);
    }
}
