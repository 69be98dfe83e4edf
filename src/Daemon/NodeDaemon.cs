using Grpc.Core;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>
/// One node: owns its checkpoints, its store, its messages and its state on disk, and does one thing at a time. A checkpoint
/// is begun by the node's messages (<see cref="INodeMessages"/>), whoever wants it: an operator and the timer only ask them.
/// </summary>
/// <remarks>
/// <para>One thing at a time is a turn: the loop has it for a checkpoint, a restore and a recovery on their own calls. While
/// a recovery is pending, also after a restart, nothing else happens.</para>
/// <para>Thread-safe. Methods throw <see cref="StatusException"/> as node_control.proto says.</para>
/// </remarks>
public sealed class NodeDaemon : IAsyncDisposable
{
    private readonly NodeCore _core;
    private readonly Func<NodeOrigin, INodeMessages> _makeMessages;
    private volatile NodeRuntime? _runtime;
    private Task _loop = Task.CompletedTask;
    private volatile bool _started;
    private bool _stopped;

    /// <summary>Makes a node that does nothing before <see cref="StartAsync"/>.</summary>
    /// <param name="settings">The operator's settings, checked.</param>
    /// <param name="platform">Hypervisor and disks; stays the caller's.</param>
    /// <param name="logger">Learns what happens.</param>
    /// <param name="makeMessages">Makes the node's messages; null for <see cref="NodeMessages.Create"/>.</param>
    public NodeDaemon(
        NodeSettings settings, INodePlatform platform, ILogger logger,
        Func<NodeOrigin, INodeMessages>? makeMessages = null)
    {
        _core = new NodeCore(settings, platform, logger);
        _makeMessages = makeMessages ?? NodeMessages.Create;
    }

    /// <summary>What happens on the node.</summary>
    public EventLog Events => _core.Events;

    /// <summary>When this object was made.</summary>
    public DateTimeOffset Started { get; } = DateTimeOffset.UtcNow;

    /// <summary>What the node is doing.</summary>
    public V1.NodeState State => _core.State;

    /// <summary>The settings.</summary>
    public NodeSettings Settings => _core.Settings;

    /// <summary>The hypervisor.</summary>
    public IHypervisor Hypervisor => _core.Hypervisor;

    /// <summary>The store.</summary>
    /// <exception cref="StatusException">UNAVAILABLE: the node has not started.</exception>
    public ICheckpointStore Store => Parts.Store;

    /// <summary>The messages between this node and others; null before the node has started.</summary>
    public INodeMessages? Messages => _runtime?.Channels.Messages;

    /// <summary>What differs for domains.</summary>
    /// <exception cref="StatusException">UNAVAILABLE: the node has not started.</exception>
    internal DomainPolicies Policies => Parts.Policies;

    /// <summary>How the last attempt of a checkpoint found the domains, by UUID.</summary>
    internal IReadOnlyDictionary<Guid, DomainCoverage> Coverage =>
        _runtime?.Checkpointing.Coverage ?? new Dictionary<Guid, DomainCoverage>();

    /// <summary>Cancelled when the node stops.</summary>
    internal CancellationToken Stopped => _core.Stop.Token;

    /// <summary>Fault points of recoveries, for tests.</summary>
    internal Action<RecoverStep>? Fault
    {
        get => _core.Fault;
        set => _core.Fault = value;
    }

    /// <summary>Orders that have not begun, for tests.</summary>
    internal int Queued => _runtime?.Queue.Schedule.Orders.Count ?? 0;

    /// <summary>Signs of life: turns of the loop, steps of a start or an end, and while a checkpoint is written, what has
    /// been written. A restore and a recovery are no business of the loop, which turns beside them.</summary>
    internal WorkSigns Signs => State is V1.NodeState.Checkpointing or V1.NodeState.Stopping && _runtime is { } runtime
        ? _core.Pulse.Signs with { Signs = _core.Pulse.Signs.Signs + runtime.Checkpointing.Written }
        : _core.Pulse.Signs;

    /// <summary>What the node is doing, in a line.</summary>
    internal string Doing => _core.Step ?? (_runtime is { } node
        ? $"{State}: index {node.Channels.Messages.Index}, {node.Store.Checkpoints.Count} checkpoints"
            + (node.Channels.Messages.AwaitsRecovery ? "; the cluster needs a recovery" : "")
        : $"{State}");

    /// <summary>Resumes what a process that ended left suspended, and switches its dirty logs off: before
    /// <see cref="StartAsync"/>, and before anything that takes time.</summary>
    /// <exception cref="StateLockedException">Another process takes checkpoints of this host's domains.</exception>
    public void Undo()
    {
        _core.Begin("Undoes what was left behind");
        _core.Undo();
    }

    /// <summary>Reads the node's state, then takes part.</summary>
    /// <exception cref="StateLockedException">Another process takes checkpoints of this host's domains.</exception>
    /// <exception cref="StoreLockedException">Another process writes to the store.</exception>
    /// <exception cref="InvalidDataException">The state on disk makes no sense.</exception>
    /// <exception cref="IOException">The store or the state directory cannot be used.</exception>
    /// <exception cref="HypervisorException">A domain that was restored cannot run.</exception>
    /// <exception cref="SettingsException">The settings ask for messages that are not there.</exception>
    public async Task StartAsync()
    {
        _core.Log.Starting(_core.Settings.Node, $"{Hypervisor.Info.Name} {Hypervisor.Info.Version}");
        NodeRuntime node = await NodeRuntime.StartAsync(_core, _makeMessages).ConfigureAwait(false);
        _runtime = node;
        _started = true;
        _core.Started();
        _loop = Task.Run(node.Loop.RunAsync);
        INodeMessages messages = node.Channels.Messages;
        _core.Log.Serving(
            _core.Settings.ControlSocket, messages.Index, messages.Incarnation, node.Store.Checkpoints.Count, node.Store.Root);
    }

    /// <summary>Ends a checkpoint that is being taken, resumes all domains, switches dirty logs off.</summary>
    public async Task StopAsync()
    {
        if (_stopped)
        {
            return;
        }

        _stopped = true;
        _core.Log.Stopping();
        _core.SetState(V1.NodeState.Stopping);
        _core.Begin("Ends what is under way");
        await _core.Stop.CancelAsync().ConfigureAwait(false);
        _runtime?.Queue.Wake();
        await _loop.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // A restore or a recovery gives up by the same token.
        await _core.Turn.WaitAsync().ConfigureAwait(false);
        _started = false;
        if (_runtime is { } node)
        {
            node.Queue.Fail(Problems.Stopping());
            await node.StopAsync().ConfigureAwait(false);
        }

        _core.Log.Stopped();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _core.Dispose();
        _runtime?.Queue.Dispose();
    }

    /// <summary>The node, for an operator.</summary>
    public V1.Node Describe() => NodeDescription.Of(_core, _runtime, Started);

    /// <summary>Takes a checkpoint of all domains together, after those that were asked for before.</summary>
    /// <param name="order">What is wanted.</param>
    /// <param name="cancellationToken">Before the domains are suspended, gives it up.</param>
    /// <returns>The report, when the checkpoint is in the store.</returns>
    /// <exception cref="StatusException">As Checkpoint in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public Task<V1.CheckpointReport> CheckpointAsync(CheckpointOrder order, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(order);
        NodeRuntime node = Running;
        _ = node.Taker.Resolve(order);
        return node.Queue.OrderAsync(order, cancellationToken);
    }

    /// <summary>Brings domains back as a checkpoint has them.</summary>
    /// <param name="request">What is wanted.</param>
    /// <param name="progress">Learns the share that is done; may be null.</param>
    /// <param name="cancellationToken">Gives up; what was restored is removed again.</param>
    /// <exception cref="StatusException">As Restore in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public Task<V1.RestoreResult> RestoreAsync(
        V1.RestoreRequest request, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        return Running.Restores.RestoreAsync(request, progress, cancellationToken);
    }

    /// <summary>Takes part in a recovery.</summary>
    /// <param name="request">The line, the incarnation, the lost nodes, and what is asked.</param>
    /// <param name="cancellationToken">Gives up; the call may be made again.</param>
    /// <exception cref="StatusException">As Recover in node_control.proto.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public Task<V1.RecoverResponse> RecoverAsync(V1.RecoverRequest request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        return Running.Recoveries.RecoverAsync(request, cancellationToken);
    }

    /// <summary>Removes checkpoints that no recovery can need.</summary>
    /// <param name="request">The safe line.</param>
    /// <exception cref="StatusException">As CollectGarbage in node_control.proto.</exception>
    public Task<V1.CollectGarbageResponse> CollectGarbageAsync(V1.CollectGarbageRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return NodeGarbage.CollectAsync(_core, Running, request);
    }

    // Of a node that has started.
    private NodeRuntime Parts => _started && _runtime is { } node ? node : throw NotThere();

    // Of a node that does not stop either.
    private NodeRuntime Running => _core.Stop.IsCancellationRequested ? throw NotThere() : Parts;

    private static StatusException NotThere() => new(StatusCode.Unavailable, "The daemon starts or stops; try again.");
}
