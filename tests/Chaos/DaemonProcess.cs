using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text.Json;
using XenTwoLevelCkpt.Cluster;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>A node: its configuration, its daemon's process, and how it is asked.</summary>
internal sealed class DaemonProcess : IDisposable
{
    private const int LogFailed = 3103;

    private readonly string _folder;
    private readonly RpcChannel _channel;
    private readonly RemoteNode _remote;
    private readonly ConcurrentDictionary<int, int> _events = new();
    private StreamWriter? _log;
    private Process? _process;
    private int _logFailedBefore;

    internal DaemonProcess(string folder, string name, IPEndPoint address)
    {
        _folder = folder;
        Name = name;
        Address = address;
        _channel = RpcChannel.ForUnixSocket(Socket);
        Control = new NodeControl.NodeControlClient(_channel.Invoker);
        _remote = new RemoteNode(new ClusterMember(name, Socket, "", 0));
    }

    internal string Name { get; }

    /// <summary>Where it listens for other nodes.</summary>
    internal IPEndPoint Address { get; }

    internal string Socket => Path.Combine(_folder, Name + ".sock");

    internal string Shared => Path.Combine(_folder, "shared");

    internal string Store => Path.Combine(Shared, Name);

    internal string Trace => Path.Combine(_folder, Name + ".trace");

    internal NodeControl.NodeControlClient Control { get; }

    internal INodeClient Remote => _remote;

    internal bool Runs => _process is { HasExited: false };

    /// <summary>True where this life of the daemon cannot write its channel log, and needs another one.</summary>
    internal bool LogBroken => Logged(LogFailed) > _logFailedBefore;

    /// <summary>How often the log has an event so far, over all of the node's lives.</summary>
    /// <param name="number">The event.</param>
    internal int Logged(int number) => _events.GetValueOrDefault(number);

    /// <summary>Starts the daemon.</summary>
    /// <param name="cluster">The cluster's UUID.</param>
    /// <param name="nodes">By name where this node finds each one.</param>
    /// <param name="guests">The section "model".</param>
    /// <param name="interval">The mean time between basic checkpoints.</param>
    internal void Start(Guid cluster, IEnumerable<(string Name, IPEndPoint Address)> nodes, object guests, string interval)
    {
        string file = Path.Combine(_folder, Name + ".json");
        File.WriteAllText(file, JsonSerializer.Serialize(new
        {
            node = Name,
            clusterId = cluster,
            nodes = nodes.Select(n => new { name = n.Name, address = $"{n.Address}" }),
            shared = Shared,
            state = Path.Combine(_folder, Name + ".state"),
            controlSocket = Socket,
            listen = $"{Address}",
            basicInterval = interval,
            suspendTimeout = "300ms",
            staging = "4M",
            keep = 8,
            maxIncrements = 4,
            trace = Trace,
            hypervisor = "model",
            model = guests,
        }));
        var start = new ProcessStartInfo("dotnet", [Path.Combine(System.AppContext.BaseDirectory, "xtlckptd.dll"), "--config", file])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,

            // It seldom lives long enough to gain by being compiled a second time.
            Environment = { ["DOTNET_TieredCompilation"] = "0" },
        };
        _process?.Dispose();
        _logFailedBefore = Logged(LogFailed);
        _log ??= new StreamWriter(Path.Combine(_folder, Name + ".log")) { AutoFlush = true };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, e) => Note(e.Data);
        _process.ErrorDataReceived += (_, e) => Note(e.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Waits until it serves.</summary>
    /// <exception cref="ChaosException">It has ended instead.</exception>
    internal async Task ServesAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (await AskAsync(cancellationToken) is { State: not NodeState.Starting })
            {
                return;
            }

            if (!Runs)
            {
                throw new ChaosException($"the daemon of {Name} ended with exit code {_process?.ExitCode} when it was started");
            }

            await Task.Delay(50, cancellationToken);
        }
    }

    /// <summary>What the node says of itself; null where it does not answer.</summary>
    internal async Task<Node?> AskAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await Remote.GetNodeAsync(cancellationToken);
        }
        catch (StatusException)
        {
            return null;
        }
    }

    /// <summary>Ends the process at once.</summary>
    internal async Task KillAsync()
    {
        if (_process is { } process)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
    }

    /// <summary>Tells the process to end, where another fault has not ended it.</summary>
    /// <exception cref="ChaosException">It did so in disorder.</exception>
    internal async Task TerminateAsync(CancellationToken cancellationToken)
    {
        if (_process is not { HasExited: false } process)
        {
            return;
        }

        using (var kill = Process.Start("/bin/kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(cancellationToken);
        }

        await process.WaitForExitAsync(cancellationToken);
        if (process.ExitCode != 0)
        {
            throw new ChaosException($"the daemon of {Name} was told to end and did so with exit code {process.ExitCode}");
        }
    }

    public void Dispose()
    {
        if (_process is { HasExited: false } running)
        {
            running.Kill();
            running.WaitForExit();
        }

        _process?.Dispose();
        _log?.Dispose();
        _remote.Dispose();
        _channel.Dispose();
    }

    // "... xtlckptd[3010] Checkpoint ..."
    private void Note(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_events)
        {
            _log!.WriteLine(line);
        }

        int at = line.IndexOf('[', StringComparison.Ordinal), end = line.IndexOf(']', StringComparison.Ordinal);
        if (at >= 0 && end > at && int.TryParse(line.AsSpan(at + 1, end - at - 1), out int number))
        {
            _ = _events.AddOrUpdate(number, 1, (_, n) => n + 1);
        }
    }
}

/// <summary>Something is wrong with the cluster. The message says what.</summary>
public sealed class ChaosException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    /// <param name="inner">The cause, if any.</param>
    public ChaosException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
