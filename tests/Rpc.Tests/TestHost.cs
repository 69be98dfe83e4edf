using System.Collections.Concurrent;
using System.Net;
using Grpc.Core;
using Grpc.HealthCheck;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Rpc.Server;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>How a client reaches a server.</summary>
public enum Transport
{
    Tcp,
    UnixSocket,
}

/// <summary>A Kestrel on a port of its own and on a Unix domain socket. A test that does not expect errors in the log fails
/// by them.</summary>
internal sealed class TestHost : IAsyncDisposable
{
    /// <summary>What hangs is found, not measured: no test depends on this time.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly IHost _host;
    private readonly DirectoryInfo _folder;
    private readonly ConcurrentQueue<string> _errors;

    private TestHost(IHost host, DirectoryInfo folder, ConcurrentQueue<string> errors)
    {
        _host = host;
        _folder = folder;
        _errors = errors;
        string address = host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses
            .First(a => a.StartsWith("http://127.0.0.1", StringComparison.Ordinal));
        Address = new Uri(address);
    }

    internal Uri Address { get; }

    internal string SocketPath => Path.Combine(_folder.FullName, "socket");

    internal CancellationToken Stopping => _host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;

    /// <summary>What the server logged as errors, and takes out of the test's judgement.</summary>
    internal IReadOnlyList<string> TakeErrors()
    {
        var taken = new List<string>();
        while (_errors.TryDequeue(out string? error))
        {
            taken.Add(error);
        }

        return taken;
    }

    internal static Task<TestHost> StartAsync(EchoService service, int mostConnections = 1000) =>
        StartAsync(services => services.AddSingleton(service), endpoints => endpoints.MapGrpcService<EchoService>(), mostConnections);

    /// <summary>A server with a node's services, health and reflection.</summary>
    internal static Task<TestHost> StartNodeAsync(
        FakeNode node, HealthServiceImpl? health = null, FakeChannel? channel = null) => StartAsync(
        services => services.AddSingleton(node).AddSingleton(channel ?? new FakeChannel()).AddStandardServices(
            health ?? new HealthServiceImpl(), V1.NodeControl.Descriptor, V1.NodeChannelReflection.Descriptor.Services[0]),
        endpoints =>
        {
            _ = endpoints.MapGrpcService<FakeNode>();
            _ = endpoints.MapGrpcService<FakeChannel>();
            endpoints.MapStandardServices();
        });

    internal static Task<TestHost> StartAsync(
        Action<IServiceCollection> add, Action<IEndpointRouteBuilder> map, int mostConnections = 1000) =>
        StartAsync(add, app => app.UseRouting().UseEndpoints(map), mostConnections);

    /// <summary>A server that answers every request by itself, and so can answer wrongly.</summary>
    internal static Task<TestHost> StartRawAsync(RequestDelegate answer) => StartAsync(_ => { }, app => app.Run(answer), 1000);

    internal RpcChannel Open(Transport transport = Transport.Tcp, RpcChannelOptions? options = null) =>
        transport == Transport.Tcp
            ? RpcChannel.ForTcp(Address.Host, Address.Port, (options ?? new()) with { ConnectTimeout = Patience })
            : RpcChannel.ForUnixSocket(SocketPath, (options ?? new()) with { ConnectTimeout = Patience });

    internal Task StopAsync() => _host.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await ((IAsyncDisposable)_host).DisposeAsync();
        _folder.Delete(recursive: true);
        Assert.Empty(_errors);
    }

    /// <summary>The call ends with a status.</summary>
    internal static async Task<StatusException> FailsAsync(Func<Task> call)
    {
        try
        {
            await call().WaitAsync(Patience);
        }
        catch (StatusException e)
        {
            return e;
        }
        catch (RpcException e)
        {
            // Streams of requests are the library's own.
            return Assert.IsType<StatusException>(StatusMapping.From(e, CancellationToken.None));
        }

        throw new InvalidOperationException("The call succeeded.");
    }

    internal static Task<StatusException> FailsAsync<T>(Func<AsyncUnaryCall<T>> call) => FailsAsync(() => call().ResponseAsync);

    private static async Task<TestHost> StartAsync(
        Action<IServiceCollection> add, Action<IApplicationBuilder> use, int mostConnections)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("rpc-test-");
        var errors = new ConcurrentQueue<string>();
        IHost host = new HostBuilder()
            .ConfigureLogging(logging => logging.AddProvider(new ErrorCollector(errors)))
            .ConfigureWebHost(web => web
                .UseRpcKestrel()
                .ConfigureKestrel(kestrel =>
                {
                    kestrel.LimitForRpc();
                    kestrel.ListenRpc(new IPEndPoint(IPAddress.Loopback, 0), mostConnections);
                    kestrel.ListenRpc(Path.Combine(folder.FullName, "socket"));
                })
                .Configure(use))
            .ConfigureServices(services => add(services.AddRpc()))
            .Build();
        await host.StartAsync();
        return new TestHost(host, folder, errors);
    }

    private sealed class ErrorCollector(ConcurrentQueue<string> errors) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                errors.Enqueue($"{formatter(state, exception)} {exception}");
            }
        }

        public void Dispose()
        {
        }
    }
}
