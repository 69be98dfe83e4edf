using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Page.Tests;

/// <summary>Two daemons whose guests, on model hypervisors, send each other money; alpha serves its page. Checkpoints are taken
/// when a test asks.</summary>
internal sealed class Pair : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-page-").FullName;
    private readonly Dictionary<string, Process> _daemons = [];
    private readonly string _cluster = $"{Guid.NewGuid()}";

    // Addresses of this process alone, and ports below those that the system gives to connections.
    private readonly string _net = $"127.{1 + ((Environment.ProcessId >> 8) % 250)}.{Environment.ProcessId & 255}";

    internal static readonly string[] Names = ["alpha", "beta"];

    /// <summary>Where the page is.</summary>
    internal string Page => $"http://{_net}.1:7080/";

    public void Dispose()
    {
        foreach (Process daemon in _daemons.Values)
        {
            daemon.Kill();
            daemon.WaitForExit();
            daemon.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Starts a daemon and waits until it serves.</summary>
    internal async Task StartAsync(string name)
    {
        string file = Path.Combine(_folder, name + ".json");
        File.WriteAllText(file, JsonSerializer.Serialize(new
        {
            node = name,
            clusterId = _cluster,
            nodes = Names.Select(n => new { name = n, address = $"{AddressOf(n)}" }),
            listen = $"{AddressOf(name)}",
            pageListen = name == "alpha" ? $"{new IPEndPoint(AddressOf(name).Address, 7080)}" : null,
            shared = Path.Combine(_folder, "shared"),
            state = Path.Combine(_folder, name + ".state"),
            controlSocket = SocketOf(name),
            basicInterval = "off",
            staging = "8M",
            hypervisor = "model",
            model = new { guests = 2, workload = "bank", memory = "4M", stepsPerSecond = 20 },
        }));
        Process daemon = Process.Start(new ProcessStartInfo(
            "dotnet", [Path.Combine(AppContext.BaseDirectory, "xtlckptd.dll"), "--config", file])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        })!;

        // A pipe that nobody reads would stop the daemon's log.
        daemon.BeginOutputReadLine();
        _daemons.Add(name, daemon);
        _ = await AskAsync(name, node => node.State == NodeState.Ready);
    }

    /// <summary>Ends a daemon.</summary>
    /// <param name="name">Whose.</param>
    /// <param name="signal">How.</param>
    internal async Task EndAsync(string name, string signal)
    {
        _ = _daemons.Remove(name, out Process? daemon);
        using (daemon)
        {
            using Process kill = Process.Start("/bin/kill", [$"-{signal}", $"{daemon!.Id}"]);
            await daemon.WaitForExitAsync();
        }
    }

    /// <summary>Waits until a node says what is waited for.</summary>
    internal async Task<Node> AskAsync(string name, Predicate<Node> wanted)
    {
        using RpcChannel channel = RpcChannel.ForUnixSocket(SocketOf(name));
        var client = new NodeControl.NodeControlClient(channel.Invoker);
        while (true)
        {
            try
            {
                if (await client.GetNodeAsync(new GetNodeRequest()) is { } node && wanted(node))
                {
                    return node;
                }
            }
            catch (StatusException e) when (e.Code == StatusCode.Unavailable)
            {
                Assert.False(_daemons[name].HasExited, $"the daemon of {name} has ended");
            }

            await Task.Delay(20);
        }
    }

    /// <summary>Waits until both nodes exchange messages.</summary>
    internal async Task LinkedAsync()
    {
        foreach (string name in Names)
        {
            _ = await AskAsync(name, node => !node.AwaitsRecovery && node.Peers.All(p => p.Connected));
        }
    }

    /// <summary>Has a node take a checkpoint.</summary>
    /// <returns>Its index.</returns>
    internal async Task<ulong> CheckpointAsync(string name, string label = "")
    {
        using RpcChannel channel = RpcChannel.ForUnixSocket(SocketOf(name));
        using AsyncServerStreamingCall<CheckpointUpdate> call =
            new NodeControl.NodeControlClient(channel.Invoker).Checkpoint(new CheckpointRequest { Label = label });
        ulong index = 0;
        await foreach (CheckpointUpdate update in call.ReadAllAsync())
        {
            index = update.Report?.Index ?? index;
        }

        return index;
    }

    /// <summary>Recovers the cluster, as an operator does.</summary>
    internal async Task RecoverAsync()
    {
        using Process program = Process.Start(new ProcessStartInfo("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "xtlctl-program/xtlctl.dll"), "cluster", "recover", "--yes",
            .. Names.SelectMany(n => new[] { "--node", $"{n}={SocketOf(n)}" }),
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        })!;
        Task<string> error = program.StandardError.ReadToEndAsync();
        string output = await program.StandardOutput.ReadToEndAsync();
        await program.WaitForExitAsync();
        Assert.True(program.ExitCode == 0, output + await error);
        await LinkedAsync();
    }

    private string SocketOf(string name) => Path.Combine(_folder, name + ".sock");

    private IPEndPoint AddressOf(string name) => IPEndPoint.Parse($"{_net}.{Array.IndexOf(Names, name) + 1}:7400");
}
