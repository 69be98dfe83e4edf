using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Rpc.Client;
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

    private readonly WebApplication _app;
    private readonly DirectoryInfo _folder;
    private readonly ConcurrentQueue<string> _errors;

    private TestHost(WebApplication app, DirectoryInfo folder, ConcurrentQueue<string> errors)
    {
        _app = app;
        _folder = folder;
        _errors = errors;
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses
            .First(a => a.StartsWith("http://127.0.0.1", StringComparison.Ordinal));
        Address = new Uri(address);
    }

    internal Uri Address { get; }

    internal string SocketPath => Path.Combine(_folder.FullName, "socket");

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

    internal static Task<TestHost> StartAsync(
        EchoService service, RpcServerOptions? options = null, Func<CancellationToken, RpcServerOptions>? stopping = null) =>
        StartAsync((log, stop) => new RpcServer(
            stopping?.Invoke(stop) ?? options ?? new RpcServerOptions(), log, service.Define()));

    internal static Task<TestHost> StartAsync(Func<ILogger, CancellationToken, RpcServer> make) =>
        StartAsync(app => app.UseRpc(make(app.Logger, app.Lifetime.ApplicationStopping)));

    /// <summary>A server that answers every request by itself, and so can answer wrongly.</summary>
    internal static Task<TestHost> StartRawAsync(RequestDelegate answer) => StartAsync(app => app.Run(answer));

    internal RpcChannel Open(Transport transport = Transport.Tcp, RpcChannelOptions? options = null) =>
        transport == Transport.Tcp
            ? RpcChannel.ForTcp(Address.Host, Address.Port, (options ?? new()) with { ConnectTimeout = Patience })
            : RpcChannel.ForUnixSocket(SocketPath, (options ?? new()) with { ConnectTimeout = Patience });

    internal Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _folder.Delete(recursive: true);
        Assert.Empty(_errors);
    }

    private static async Task<TestHost> StartAsync(Action<WebApplication> use)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("rpc-test-");
        var errors = new ConcurrentQueue<string>();
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        _ = builder.Services.AddRouting();
        _ = builder.Logging.AddProvider(new ErrorCollector(errors));
        _ = builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.LimitForRpc();
            kestrel.ListenRpc(new IPEndPoint(IPAddress.Loopback, 0));
            kestrel.ListenRpc(Path.Combine(folder.FullName, "socket"));
        });
        WebApplication app = builder.Build();
        use(app);
        await app.StartAsync();
        return new TestHost(app, folder, errors);
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
