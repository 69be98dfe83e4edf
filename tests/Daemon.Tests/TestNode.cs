using System.Collections.Concurrent;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>A daemon on a model hypervisor, called through its socket. The hypervisor outlives it, as Xen does.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    /// <summary>What hangs is found, not measured: no test depends on this time.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-daemon-").FullName;
    private readonly ConcurrentQueue<string> _log = new();
    private RpcChannel _channel;
    private DaemonHost? _host;

    private TestNode(Func<NodeSettings, NodeSettings>? adjust)
    {
        Settings = new NodeSettings
        {
            Node = "alpha",
            Shared = Path.Combine(_folder, "shared"),
            Store = Path.Combine(_folder, "shared/alpha"),
            State = Path.Combine(_folder, "state"),
            ControlSocket = Path.Combine(_folder, "control.sock"),
            SuspendTimeout = TimeSpan.FromSeconds(30),
            Staging = 8 << 20,
        };
        Settings = adjust?.Invoke(Settings) ?? Settings;
        _channel = RpcChannel.ForUnixSocket(Settings.ControlSocket, new RpcChannelOptions { ConnectTimeout = Patience });
        Client = new NodeControl.NodeControlClient(_channel.Invoker);
    }

    internal NodeSettings Settings { get; set; }

    internal ModelHypervisor Hypervisor { get; } = new();

    internal NodeControl.NodeControlClient Client { get; private set; }

    internal RpcChannel Channel => _channel;

    internal NodeDaemon Node => _host!.Node;

    internal DaemonHost Host => _host!;

    /// <summary>Makes the node's messages; null for those of a node on its own.</summary>
    internal Func<NodeOrigin, INodeMessages>? Messages { get; set; }

    /// <summary>What the daemon runs upon; null for the model.</summary>
    internal Func<TestNode, INodePlatform>? Platform { get; set; }

    /// <summary>Called before the node starts; may be null.</summary>
    internal Action<NodeDaemon>? Configure { get; set; }

    internal string Folder => _folder;

    internal IEnumerable<string> Log => _log;

    internal static async Task<TestNode> StartAsync(
        int guests = 2, Func<NodeSettings, NodeSettings>? adjust = null, Action<TestNode>? before = null)
    {
        var node = new TestNode(adjust);
        for (int i = 0; i < guests; i++)
        {
            node.AddGuest($"{(char)('a' + i)}");
        }

        before?.Invoke(node);
        await node.StartDaemonAsync();
        return node;
    }

    internal ModelGuest AddGuest(string name, Guid? uuid = null) => Hypervisor.CreateDomain(new ModelDomainOptions
    {
        Name = name,
        Uuid = uuid ?? Guid.NewGuid(),
        MemoryPages = 1024,
        DiskBlocks = 64,
        Workload = new StepperWorkload(name[0], 300, 8),
    });

    internal async Task StartDaemonAsync(Action<NodeDaemon>? configure = null) => _host = await DaemonHost.StartAsync(
        Settings, Platform?.Invoke(this) ?? new ModelPlatform(Hypervisor), logging => logging.AddProvider(new Collector(_log)), Messages, configure ?? Configure);

    internal async Task StopDaemonAsync()
    {
        if (_host is { } host)
        {
            await host.DisposeAsync();
            _host = null;
        }
    }

    internal async Task RestartAsync()
    {
        await StopDaemonAsync();
        await StartDaemonAsync();

        // The old connections may not have learnt yet that they are gone.
        _channel.Dispose();
        _channel = RpcChannel.ForUnixSocket(Settings.ControlSocket, new RpcChannelOptions { ConnectTimeout = Patience });
        Client = new NodeControl.NodeControlClient(_channel.Invoker);
    }

    internal async Task<CheckpointReport> CheckpointAsync(CheckpointRequest? request = null)
    {
        using AsyncServerStreamingCall<CheckpointUpdate> call = Client.Checkpoint(request ?? new CheckpointRequest());
        return (await AllAsync(call))[^1].Report;
    }

    internal async Task<RestoreResult> RestoreAsync(RestoreRequest request)
    {
        using AsyncServerStreamingCall<RestoreUpdate> call = Client.Restore(request);
        return (await AllAsync(call))[^1].Result;
    }

    /// <summary>Waits until the node does something.</summary>
    internal async Task ReachesAsync(NodeState state)
    {
        while ((await Client.GetNodeAsync(new GetNodeRequest())).State != state)
        {
            await Task.Delay(5);
        }
    }

    internal void DestroyAll()
    {
        foreach (ModelGuest guest in Hypervisor.Guests)
        {
            guest.Destroy();
        }
    }

    /// <summary>The step that each guest's memory is of, by its name.</summary>
    internal Dictionary<string, long> Steps() => Hypervisor.Guests.ToDictionary(g => g.Name, g => StepperWorkload.StepOf(g.View));

    /// <summary>Memory, disk and registers of all guests are of one step each.</summary>
    internal void AssertWhole()
    {
        foreach (ModelGuest guest in Hypervisor.Guests)
        {
            Assert.Null(StepperWorkload.Verify(guest.View));
        }
    }

    internal void AssertAllRun() => Assert.All(
        Hypervisor.ListDomains().Where(d => d.Id != 0), d => Assert.True(
            d.ShutdownReason is null && !d.State.HasFlag(XenTwoLevelCkpt.Hypervisor.DomainStates.Paused), $"{d.Name} does not run"));

    internal IReadOnlyList<CheckpointManifest> Stored()
    {
        using DirectoryStore store = DirectoryStore.OpenReadOnly(Settings.Store);
        return store.Checkpoints;
    }

    /// <summary>The call ends with a status.</summary>
    internal static async Task FailsAsync(StatusCode code, string? reason, Func<Task> call)
    {
        StatusException e = await Assert.ThrowsAsync<StatusException>(call);
        Assert.True(code == e.Code && reason == e.Reason, $"{e.Code} {e.Reason}: {e.Message}");
        Assert.NotEqual("", e.Message);
    }

    /// <summary>The call ends with a status.</summary>
    internal static Task FailsAsync<T>(StatusCode code, string? reason, Func<AsyncUnaryCall<T>> call) =>
        FailsAsync(code, reason, () => call().ResponseAsync);

    internal static async Task<List<T>> AllAsync<T>(AsyncServerStreamingCall<T> call)
        where T : class, Google.Protobuf.IMessage<T>, new()
    {
        var all = new List<T>();
        await foreach (T item in call.ReadAllAsync())
        {
            all.Add(item);
        }

        return all;
    }

    public async ValueTask DisposeAsync()
    {
        await StopDaemonAsync();
        _channel.Dispose();
        AssertAllRun();
        Hypervisor.Dispose();
        Directory.Delete(_folder, recursive: true);
        Assert.DoesNotContain(_log, line => line.StartsWith("Critical", StringComparison.Ordinal));
    }

    private sealed class Collector(ConcurrentQueue<string> log) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) => log.Enqueue($"{logLevel} {eventId.Id} {formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}
