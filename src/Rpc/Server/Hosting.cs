using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Puts a server into an ASP.NET Core host.</summary>
public static class Hosting
{
    // Kestrel's own 1 MiB for a connection is little more than the 768 KiB of one stream: a stream whose reader rests would
    // leave the others next to nothing.
    private const int ConnectionWindow = 8 << 20;

    // The longest message of a channel is little above 1 MiB; with Kestrel's 768 KiB its sender would rest in the middle of
    // it until the receiver has read that far.
    private const int StreamWindow = 2 << 20;

    private static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(20);

    /// <summary>Gives requests that are for a server to it, and all others to what follows.</summary>
    /// <param name="app">The pipeline.</param>
    /// <param name="server">The server.</param>
    public static IApplicationBuilder UseRpc(this IApplicationBuilder app, RpcServer server) =>
        app.Use((http, next) => server.IsFor(http.Request) ? server.HandleAsync(http) : next(http));

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
    public static void ListenRpc(this KestrelServerOptions options, IPEndPoint endPoint) =>
        options.Listen(endPoint, listen => listen.Protocols = HttpProtocols.Http2);

    /// <summary>Listens on a Unix domain socket. Whoever may connect may do anything: the socket belongs into a directory
    /// that only its owner may search.</summary>
    /// <param name="options">Kestrel's options.</param>
    /// <param name="path">The socket's absolute path, at most 107 octets. A socket left over there has to be removed
    /// before.</param>
    public static void ListenRpc(this KestrelServerOptions options, string path) =>
        options.ListenUnixSocket(path, listen => listen.Protocols = HttpProtocols.Http2);
}
