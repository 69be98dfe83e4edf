using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using XenTwoLevelCkpt.Rpc.Server;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A server on loopback with the service of one messenger.</summary>
internal sealed class MessengerHost : IAsyncDisposable
{
    private readonly IHost _host;

    private MessengerHost(IHost host)
    {
        _host = host;
        Port = new Uri(host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First())
            .Port;
    }

    internal int Port { get; }

    internal static async Task<MessengerHost> StartAsync(NodeMessenger messenger, ILogger logger)
    {
        IHost host = new HostBuilder()
            .ConfigureLogging(logging => logging.AddProvider(new One(logger)))
            .ConfigureWebHost(web => web
                .UseRpcKestrel()
                .ConfigureKestrel(kestrel =>
                {
                    kestrel.LimitForRpc();
                    kestrel.ListenRpc(new IPEndPoint(IPAddress.Loopback, 0));
                })
                .Configure(app => app.UseRouting().UseEndpoints(endpoints => endpoints.MapGrpcService<ChannelService>())))
            .ConfigureServices(services => services.AddRpc().AddSingleton(new ChannelService(() => messenger, CancellationToken.None)))
            .Build();
        await host.StartAsync();
        return new MessengerHost(host);
    }

    public ValueTask DisposeAsync() => ((IAsyncDisposable)_host).DisposeAsync();

    private sealed class One(ILogger logger) : ILoggerProvider
    {
        public ILogger CreateLogger(string categoryName) => categoryName == "Rpc" ? logger : NullLogger.Instance;

        public void Dispose()
        {
        }
    }
}

/// <summary>Keeps what is logged from a level on, but for one event.</summary>
internal sealed class Collector(ConcurrentQueue<string> lines, LogLevel least = LogLevel.Error, int except = 0) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= least;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel) && eventId.Id != except)
        {
            lines.Enqueue($"{logLevel} {eventId.Id} {formatter(state, exception)} {exception}");
        }
    }
}

/// <summary>Takes every checkpoint at once, or fails at once.</summary>
internal sealed class PromptCheckpoints : INodeCheckpoints
{
    internal NodeMessenger Messenger { get; set; } = null!;

    internal ConcurrentQueue<Exception> Errors { get; } = new();

    internal int Taken { get; private set; }

    internal bool Fails { get; set; }

    internal SemaphoreSlim Failed { get; } = new(0);

    /// <summary>True where the guests stay suspended.</summary>
    internal bool Stays { get; set; }

    internal SemaphoreSlim Suspended { get; } = new(0);

    /// <inheritdoc/>
    public void Begin(long label, CheckpointCause cause, ForcingMessage? forcedBy) => _ = Task.Run(() =>
    {
        try
        {
            Messenger.Suspended();
            if (Stays)
            {
                Suspended.Release();
                return;
            }

            _ = Messenger.TakeState();
            if (Fails)
            {
                Messenger.CheckpointFailed();
                Failed.Release();
                return;
            }

            Taken++;
            Messenger.CheckpointDone();
        }
        catch (Exception e)
        {
            Errors.Enqueue(e);
        }
    });
}
