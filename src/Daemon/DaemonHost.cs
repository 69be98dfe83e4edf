using Grpc.HealthCheck;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Page;
using XenTwoLevelCkpt.Rpc.Server;
using static Grpc.Health.V1.HealthCheckResponse.Types;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A node with its services on its sockets: <c>xtlckptd</c> without its command line.</summary>
public sealed class DaemonHost : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly HealthServiceImpl _health;
    private readonly string _socket;
    private readonly PageServer? _page;
    private bool _stopped;

    private DaemonHost(IHost host, NodeDaemon node, HealthServiceImpl health, string socket, PageServer? page)
    {
        _host = host;
        Node = node;
        _health = health;
        _socket = socket;
        _page = page;
    }

    /// <summary>The node.</summary>
    public NodeDaemon Node { get; }

    /// <summary>The node's page; null where it is off.</summary>
    internal PageServer? Page => _page;

    /// <summary>Listens, then starts the node. Health tells NOT_SERVING in between, and methods UNAVAILABLE.</summary>
    /// <param name="settings">The operator's settings, checked.</param>
    /// <param name="platform">Hypervisor and disks; stays the caller's.</param>
    /// <param name="logging">Where the log goes.</param>
    /// <param name="makeMessages">Makes the node's messages; null for <see cref="NodeMessages.Create"/>.</param>
    /// <param name="configure">Called before the node starts, for tests; may be null.</param>
    /// <exception cref="SocketInUseException">Another daemon serves on the socket.</exception>
    /// <exception cref="IOException">The socket, the store or the state directory cannot be used.</exception>
    public static async Task<DaemonHost> StartAsync(
        NodeSettings settings, INodePlatform platform, Action<ILoggingBuilder> logging,
        Func<NodeOrigin, INodeMessages>? makeMessages = null, Action<NodeDaemon>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(logging);
        ControlSocket.Prepare(settings.ControlSocket);
        NodeDaemon? node = null;
        PageServer? page = null;
        var health = new HealthServiceImpl();
        Tell(health, ServingStatus.NotServing);
        IHost built = new HostBuilder()
            .ConfigureLogging(logging)
            .ConfigureWebHost(
                web => web
                    .UseRpcKestrel()
                    .ConfigureKestrel(kestrel => Listen(kestrel, settings))
                    .Configure(app => Serve(app, settings, page)),
                web => web.SuppressEnvironmentConfiguration = true)
            .ConfigureServices(services => services
                .AddRpc()
                .AddStandardServices(health, V1.NodeControl.Descriptor)
                .AddSingleton(host => new ControlService(node!, Log(host), Lifetime(host).ApplicationStopping))
                .AddSingleton(_ => new ChannelService(() => node!.Messages as NodeMessenger, node!.Stopped)))
            .Build();
        node = new NodeDaemon(settings, platform, Log(built.Services), makeMessages);
        configure?.Invoke(node);
        if (settings.PageListen is not null)
        {
            page = new PageServer(node, settings.PageLimits);
        }

        var host = new DaemonHost(built, node, health, settings.ControlSocket, page);
        try
        {
            // Before anything else: guests stand still for it.
            node.Undo();
            await built.StartAsync().ConfigureAwait(false);
            ControlSocket.Open(settings.ControlSocket, settings.SocketGroup);
            await node.StartAsync().ConfigureAwait(false);
            Tell(health, ServingStatus.Serving);
            return host;
        }
        catch
        {
            await host.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Stops the node, then the services: calls end with UNAVAILABLE.</summary>
    public async Task StopAsync()
    {
        if (_stopped)
        {
            return;
        }

        _stopped = true;
        Tell(_health, ServingStatus.NotServing);
        await Node.StopAsync().ConfigureAwait(false);
        await _host.StopAsync().ConfigureAwait(false);
        if (_page is { } page)
        {
            await page.DisposeAsync().ConfigureAwait(false);
        }

        File.Delete(_socket);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await Node.DisposeAsync().ConfigureAwait(false);
        await ((IAsyncDisposable)_host).DisposeAsync().ConfigureAwait(false);
    }

    private static IHostApplicationLifetime Lifetime(IServiceProvider services) =>
        services.GetRequiredService<IHostApplicationLifetime>();

    private static ILogger Log(IServiceProvider services) => services.GetRequiredService<ILoggerFactory>().CreateLogger("xtlckptd");

    private static void Tell(HealthServiceImpl health, ServingStatus status)
    {
        health.SetStatus("", status);
        health.SetStatus(V1.NodeControl.Descriptor.FullName, status);
    }

    private static void Listen(KestrelServerOptions kestrel, NodeSettings settings)
    {
        kestrel.LimitForRpc();
        kestrel.ListenRpc(settings.ControlSocket);
        if (settings.ControlListen is { } control)
        {
            kestrel.ListenRpc(control);
        }

        if (settings.Listen is { } listen && settings.Nodes.Count > 1)
        {
            kestrel.ListenRpc(listen);
        }

        if (settings.PageListen is { } page)
        {
            PageServer.Listen(kestrel, page, settings.PageLimits);
        }
    }

    // What other nodes reach is the channel alone.
    private static void Serve(IApplicationBuilder app, NodeSettings settings, PageServer? page)
    {
        foreach (int port in new[] { 0, settings.ControlListen?.Port ?? 0 }.Distinct())
        {
            app.UseRpc(port, endpoints =>
            {
                _ = endpoints.MapGrpcService<ControlService>();
                endpoints.MapStandardServices();
            });
        }

        if (settings.Listen is { } channel)
        {
            app.UseRpc(channel.Port, endpoints => endpoints.MapGrpcService<ChannelService>());
        }

        if (page is not null)
        {
            CancellationToken stopping = Lifetime(app.ApplicationServices).ApplicationStopping;
            int port = settings.PageListen!.Port;
            _ = app.MapWhen(
                http => http.Connection.LocalPort == port, viewed => viewed.Run(http => page.HandleAsync(http, stopping)));
        }
    }
}
