using System.Net.Sockets;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>A way to one server: connections that are opened when calls need them, and opened again after they broke. Safe
/// for any number of calls side by side.</summary>
public sealed class RpcChannel : IDisposable
{
    private readonly GrpcChannel _channel;

    private RpcChannel(Uri address, RpcChannelOptions options, Func<CancellationToken, ValueTask<Stream>> connect)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = (_, cancellationToken) => connect(cancellationToken),
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = null,
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            KeepAlivePingDelay = options.KeepAlivePingDelay,
            KeepAlivePingTimeout = options.KeepAlivePingTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            // Streams that last for ever would otherwise fill a connection (100 at Kestrel), and the next call would wait.
            EnableMultipleHttp2Connections = true,
        };
        _channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = options.MaxReceiveLength,
            MaxSendMessageSize = options.MaxSendLength,
            // Nothing is compressed: images are already, and frames would cost more than they save.
            CompressionProviders = [],
        });
        Calls = _channel.CreateCallInvoker();
        Invoker = Calls.Intercept(new StatusInterceptor());
    }

    /// <summary>For generated clients: calls end with <see cref="StatusException"/>.</summary>
    public CallInvoker Invoker { get; }

    /// <summary>The library's own calls, which end with <see cref="RpcException"/>.</summary>
    internal CallInvoker Calls { get; }

    /// <summary>A way to a server that listens on TCP, by HTTP/2 without TLS.</summary>
    /// <param name="host">A name or an address.</param>
    /// <param name="port">The port.</param>
    /// <param name="options">Limits and times.</param>
    public static RpcChannel ForTcp(string host, int port, RpcChannelOptions? options = null) => new(
        new UriBuilder(Uri.UriSchemeHttp, host, port).Uri, options ?? new RpcChannelOptions(), cancellationToken =>
            ConnectAsync(
                new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true },
                socket => socket.ConnectAsync(host, port, cancellationToken)));

    /// <summary>A way to a server that listens on a Unix domain socket.</summary>
    /// <param name="path">The socket's path.</param>
    /// <param name="options">Limits and times.</param>
    public static RpcChannel ForUnixSocket(string path, RpcChannelOptions? options = null)
    {
        var endPoint = new UnixDomainSocketEndPoint(path);
        return new RpcChannel(new Uri("http://localhost"), options ?? new RpcChannelOptions(), cancellationToken =>
            ConnectAsync(
                new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified),
                socket => socket.ConnectAsync(endPoint, cancellationToken)));
    }

    /// <summary>Closes all connections; calls that are open end.</summary>
    public void Dispose() => _channel.Dispose();

    private static async ValueTask<Stream> ConnectAsync(Socket socket, Func<Socket, ValueTask> connect)
    {
        try
        {
            await connect(socket).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
