using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Page;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Nodes;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.Standard;
using ServingStatus = XenTwoLevelCkpt.Rpc.Standard.HealthCheckResponse.Types.ServingStatus;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>A node with its services on its sockets: <c>xtlckptd</c> without its command line.</summary>
public sealed class DaemonHost : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly HealthService _health;
    private readonly string _socket;
    private readonly PageServer? _page;
    private bool _stopped;

    private DaemonHost(WebApplication app, NodeDaemon node, HealthService health, string socket, PageServer? page)
    {
        _app = app;
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
        PrepareSocket(settings.ControlSocket);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        _ = builder.Services.AddRouting();
        logging(builder.Logging);
        _ = builder.WebHost.UseRpcKestrel().ConfigureKestrel(kestrel =>
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
        });
        WebApplication app = builder.Build();
        ILogger logger = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("xtlckptd");
        var node = new NodeDaemon(settings, platform, logger, makeMessages);
        configure?.Invoke(node);
        var health = new HealthService();
        health.Set("", ServingStatus.NotServing);
        health.Set(NodeControlMethods.Service, ServingStatus.NotServing);
        if (settings.Listen is { } channel)
        {
            // What other nodes reach is the channel alone.
            _ = app.Use((http, next) => http.Connection.LocalPort != channel.Port
                ? next(http)
                : node.Channel is { } server ? server.HandleAsync(http) : UnavailableAsync(http));
        }

        PageServer? served = null;
        if (settings.PageListen is { } viewed)
        {
            served = new PageServer(node, settings.PageLimits);
            _ = app.Use((http, next) => http.Connection.LocalPort != viewed.Port
                ? next(http)
                : served.HandleAsync(http, app.Lifetime.ApplicationStopping));
        }

        ServiceDefinition[] services = [new ControlService(node).Define(), health.Define()];
        _ = app.UseRpc(new RpcServer(
            new RpcServerOptions { Stopping = app.Lifetime.ApplicationStopping }, logger,
            [.. services, new ReflectionService(services).Define()]));
        var host = new DaemonHost(app, node, health, settings.ControlSocket, served);
        try
        {
            // Before anything else: guests stand still for it.
            node.Undo();
            await app.StartAsync().ConfigureAwait(false);
            File.SetUnixFileMode(settings.ControlSocket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            await node.StartAsync().ConfigureAwait(false);
            health.Set("", ServingStatus.Serving);
            health.Set(NodeControlMethods.Service, ServingStatus.Serving);
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
        _health.Set("", ServingStatus.NotServing);
        _health.Set(NodeControlMethods.Service, ServingStatus.NotServing);
        await Node.StopAsync().ConfigureAwait(false);
        await _app.StopAsync().ConfigureAwait(false);
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
        await _app.DisposeAsync().ConfigureAwait(false);
    }

    // 503 is UNAVAILABLE to any gRPC client (gRPC, "HTTP to gRPC Status Code Mapping").
    private static Task UnavailableAsync(HttpContext http)
    {
        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        return Task.CompletedTask;
    }

    // A socket that a daemon left behind that was killed is in the way of the next one.
    private static void PrepareSocket(string path)
    {
        if (Path.GetDirectoryName(path) is { Length: > 0 } folder && !Directory.Exists(folder))
        {
            _ = Directory.CreateDirectory(
                folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }

        throw new SocketInUseException(path);
    }
}

/// <summary>Another daemon serves on the control socket.</summary>
public sealed class SocketInUseException : IOException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="path">The socket.</param>
    public SocketInUseException(string path)
        : base($"Another daemon serves on {path}. Stop that one ('fuser {path}' names it), or set another 'controlSocket'.")
    {
    }
}
