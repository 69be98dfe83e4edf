using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Hypervisor;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What a node has before it starts, and all its parts share. Thread-safe.</summary>
/// <param name="settings">The operator's settings, checked.</param>
/// <param name="platform">Hypervisor and disks.</param>
/// <param name="logger">Learns what happens.</param>
internal sealed class NodeCore(NodeSettings settings, INodePlatform platform, ILogger logger) : IDisposable
{
    private V1.NodeState _state = V1.NodeState.Starting;
    private volatile string? _step = "Starts";

    internal NodeSettings Settings => settings;

    internal INodePlatform Platform => platform;

    internal IHypervisor Hypervisor => platform.Hypervisor;

    internal ILogger Logger => logger;

    internal DaemonLog Log { get; } = new(logger);

    internal EventLog Events { get; } = new();

    internal WorkPulse Pulse { get; } = new();

    /// <summary>Held for a moment, for the state and for the schedule of checkpoints.</summary>
    internal Lock Gate { get; } = new();

    /// <summary>Held by whoever takes a checkpoint, restores or recovers.</summary>
    internal SemaphoreSlim Turn { get; } = new(1, 1);

    /// <summary>Cancelled when the node stops.</summary>
    internal CancellationTokenSource Stop { get; } = new();

    /// <summary>Fault points of recoveries, for tests.</summary>
    internal Action<RecoverStep>? Fault { get; set; }

    /// <summary>True while a recovery has begun and not ended.</summary>
    internal Func<bool> IsPending { get; set; } = static () => false;

    /// <summary>What a start or an end is at; null between them.</summary>
    internal string? Step => _step;

    /// <summary>What the node is doing.</summary>
    internal V1.NodeState State
    {
        get
        {
            lock (Gate)
            {
                return _state == V1.NodeState.Ready && IsPending() ? V1.NodeState.Recovering : _state;
            }
        }
    }

    /// <summary>The node does something else; one that stops does nothing else any more.</summary>
    /// <param name="state">What it does.</param>
    internal void SetState(V1.NodeState state)
    {
        lock (Gate)
        {
            if (_state is V1.NodeState.Stopping || _state == state)
            {
                return;
            }

            _state = state;
        }

        Events.Add(new V1.Event { State = State });
    }

    /// <summary>A start or an end goes on.</summary>
    /// <param name="what">What it is at.</param>
    internal void Begin(string what)
    {
        _step = what;
        Pulse.Beat();
    }

    /// <summary>The start has ended.</summary>
    internal void Started()
    {
        _step = null;
        SetState(V1.NodeState.Ready);
    }

    /// <summary>Resumes what a checkpoint left suspended, and switches dirty logs off.</summary>
    /// <exception cref="Checkpointing.Node.StateLockedException">Another process takes checkpoints of this host's domains.</exception>
    internal void Undo()
    {
        foreach (string line in platform.Undo(settings.State, StillUndoing))
        {
            Log.Undone(line);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop.Dispose();
        Turn.Dispose();
    }

    private void StillUndoing(string what)
    {
        Pulse.Beat();
        Log.Undone(what);
    }
}
