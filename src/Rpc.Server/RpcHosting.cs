using System.Net;
using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>gRPC in an ASP.NET Core host: limits, listeners, and which services answer where.</summary>
public static class RpcHosting
{
    /// <summary>The longest message, in octets, either way. gRPC libraries commonly take 4 MiB; a peer that sends more than it
    /// should costs this much memory at most for each of its calls.</summary>
    public const int MaxMessage = 4 << 20;

    // Kestrel's own 1 MiB for a connection is little more than the 768 KiB of one stream: a stream whose reader rests would
    // leave the others next to nothing.
    private const int ConnectionWindow = 8 << 20;

    // The longest message of a channel is little above 1 MiB; with Kestrel's 768 KiB its sender would rest in the middle of
    // it until the receiver has read that far.
    private const int StreamWindow = 2 << 20;

    // A node has one stream to each other one, an operator's client a few; beyond it a client opens another connection.
    private const int StreamsPerConnection = 100;

    // Of one listener. The other nodes of a cluster and some operators need a few dozen; each may cost a connection's window.
    private const int MostConnections = 512;

    private static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(20);

    /// <summary>Adds gRPC as this project's services expect it: calls end by <see cref="StatusException"/>, messages are
    /// bounded, and none is compressed (a compressed one is refused as UNIMPLEMENTED).</summary>
    /// <param name="services">The host's services.</param>
    public static IServiceCollection AddRpc(this IServiceCollection services)
    {
        _ = services.AddSingleton<ServerInterceptor>().AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = MaxMessage;
            options.MaxSendMessageSize = MaxMessage;
            options.Interceptors.Add<ServerInterceptor>();
        });

        // After the library's own set-up, which puts gzip and deflate into an empty list.
        _ = services.PostConfigure<GrpcServiceOptions>(options => options.CompressionProviders.Clear());

        // The library tells each call that did not succeed; what matters of them is told by this project's own words.
        return services.AddLogging(logging => logging.AddFilter("Grpc", LogLevel.Warning));
    }

    /// <summary>Endpoints for one listener alone. By the port that the connection came to, never by what a request
    /// says.</summary>
    /// <param name="app">The pipeline.</param>
    /// <param name="port">The listener's TCP port; 0 for the Unix domain socket.</param>
    /// <param name="map">Maps services.</param>
    public static void UseRpc(this IApplicationBuilder app, int port, Action<IEndpointRouteBuilder> map) =>
        app.MapWhen(http => http.Connection.LocalPort == port, listener => listener.UseRouting().UseEndpoints(map));

    /// <summary>Sets limits of connections as streams need them that last for days and may rest: no least rates, pings after
    /// 30 s of silence, and the end of a connection that does not answer one for 20 s.</summary>
    /// <param name="options">Kestrel's options.</param>
    public static void LimitForRpc(this KestrelServerOptions options)
    {
        options.AddServerHeader = false;
        KestrelServerLimits limits = options.Limits;
        limits.MinResponseDataRate = null;
        limits.Http2.KeepAlivePingDelay = PingDelay;
        limits.Http2.KeepAlivePingTimeout = PingTimeout;
        limits.Http2.InitialConnectionWindowSize = ConnectionWindow;
        limits.Http2.InitialStreamWindowSize = StreamWindow;
        limits.Http2.MaxStreamsPerConnection = StreamsPerConnection;
    }

    /// <summary>Kestrel for few connections that carry much: large blocks of memory, and one call of the kernel a block,
    /// without asking before whether there is anything to read.</summary>
    /// <param name="host">The host.</param>
    public static IWebHostBuilder UseRpcKestrel(this IWebHostBuilder host) => host
        .UseKestrelCore()
        .UseSockets(sockets => sockets.WaitForDataBeforeAllocatingBuffer = false)
        .ConfigureServices(services => services.AddSingleton<IMemoryPoolFactory<byte>, BlockPoolFactory>());

    /// <summary>Listens on TCP, with HTTP/2 without TLS and without upgrade ("prior knowledge").</summary>
    /// <param name="options">Kestrel's options.</param>
    /// <param name="endPoint">The address.</param>
    /// <param name="mostConnections">Connections at a time.</param>
    public static void ListenRpc(
        this KestrelServerOptions options, IPEndPoint endPoint, int mostConnections = MostConnections) =>
        options.Listen(endPoint, listen => Configure(listen, mostConnections));

    /// <summary>Listens on a Unix domain socket. Whoever may connect may do anything: the socket belongs into a directory
    /// that only its owner may search.</summary>
    /// <param name="options">Kestrel's options.</param>
    /// <param name="path">The socket's absolute path, at most 107 octets. A socket left over there has to be removed
    /// before.</param>
    public static void ListenRpc(this KestrelServerOptions options, string path) =>
        options.ListenUnixSocket(path, listen =>
        {
            Configure(listen, MostConnections);
            _ = listen.Use(UnixAuthority.Accept);
        });

    private static void Configure(ListenOptions listen, int mostConnections)
    {
        listen.Protocols = HttpProtocols.Http2;
        var log = new RpcLog(listen.ApplicationServices.GetRequiredService<ILoggerFactory>().CreateLogger("Rpc"));
        var limit = new ConnectionLimit($"{listen.EndPoint}", mostConnections, log);
        _ = listen.Use(limit.Admit);
    }
}
