using Grpc.Core;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Compression;
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
public sealed partial class NodeDaemon : INodeCheckpoints, IAsyncDisposable
{
    private readonly NodeSettings _settings;
    private readonly INodePlatform _platform;
    private readonly Func<NodeOrigin, INodeMessages> _makeMessages;
    private readonly ILogger _logger;
    private readonly DaemonLog _log;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly CancellationTokenSource _stop = new();
    private V1.NodeState _state = V1.NodeState.Starting;
    private Task _loop = Task.CompletedTask;
    private IDisposable? _guardian;
    private DirectoryStore? _store;
    private NodeStateFile? _file;
    private DomainPolicies? _policies;
    private IUplink? _uplink;
    private INodeMessages? _messages;
    private NodeCheckpointer? _checkpointer;
    private Tidying? _tidying;
    private CancellationTokenSource _tidyingStop = new();
    private bool _started;
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
        _settings = settings;
        _platform = platform;
        _logger = logger;
        _log = new DaemonLog(logger);
        _makeMessages = makeMessages ?? NodeMessages.Create;
    }

    /// <summary>What happens on the node.</summary>
    public EventLog Events { get; } = new();

    /// <summary>When this object was made.</summary>
    public DateTimeOffset Started { get; } = DateTimeOffset.UtcNow;

    /// <summary>What the node is doing.</summary>
    public V1.NodeState State
    {
        get
        {
            lock (_gate)
            {
                return _state == V1.NodeState.Ready && _file?.State.Pending is not null ? V1.NodeState.Recovering : _state;
            }
        }
    }

    /// <summary>The settings.</summary>
    public NodeSettings Settings => _settings;

    /// <summary>The hypervisor.</summary>
    public IHypervisor Hypervisor => _platform.Hypervisor;

    /// <summary>The store.</summary>
    /// <exception cref="StatusException">UNAVAILABLE: the node has not started.</exception>
    public ICheckpointStore Store => _started ? _store! : throw NotThere();

    /// <summary>The messages between this node and others; null before the node has started.</summary>
    public INodeMessages? Messages => _messages;

    /// <summary>What differs for domains.</summary>
    /// <exception cref="StatusException">UNAVAILABLE: the node has not started.</exception>
    internal DomainPolicies Policies => _started ? _policies! : throw NotThere();

    /// <summary>How the last attempt of a checkpoint found the domains, by UUID.</summary>
    internal IReadOnlyDictionary<Guid, DomainCoverage> Coverage =>
        _checkpointer?.Coverage ?? new Dictionary<Guid, DomainCoverage>();

    /// <summary>Cancelled when the node stops.</summary>
    internal CancellationToken Stopped => _stop.Token;

    /// <summary>Fault points of recoveries, for tests.</summary>
    internal Action<RecoverStep>? Fault { get; set; }

    /// <summary>Resumes what a process that ended left suspended, and switches its dirty logs off: before
    /// <see cref="StartAsync"/>, and before anything that takes time.</summary>
    /// <exception cref="StateLockedException">Another process takes checkpoints of this host's domains.</exception>
    public void Undo()
    {
        Step("Undoes what was left behind");
        foreach (string line in _platform.Undo(_settings.State, StillUndoing))
        {
            _log.Undone(line);
        }
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
        _log.Starting(_settings.Node, $"{Hypervisor.Info.Name} {Hypervisor.Info.Version}");
        _guardian = _platform.StartGuardian(_settings.State);
        Step("Reads the store");
        _store = DirectoryStore.Open(_settings.Store, _pulse.Beat);
        foreach (var problem in _store.Problems)
        {
            _log.StoreProblem(problem.File, problem.Offset, problem.Problem);
        }

        _file = NodeStateFile.Open(_settings.State);
        _policies = new DomainPolicies(_settings.State, _settings.Domains);
        Step("Finishes a recovery");
        if (_file.State.Pending is { } pending)
        {
            _log.RecoveryInterrupted(pending.Order.Line, "the daemon ended in the middle");
        }

        using (var carrier = new RecoveryCarrier(this, null))
        {
            await carrier.CarryAsync(RecoveryExecution.AfterRestart(_file.State)).ConfigureAwait(false);
        }

        Change(schedule => schedule.BasicIsAt(NextBasic()));
        _started = true;
        _step = null;
        SetState(V1.NodeState.Ready);
        _loop = Task.Run(RunAsync);
        _log.Serving(
            _settings.ControlSocket, _messages!.Index, _messages.Incarnation, _store.Checkpoints.Count, _store.Root);
    }

    /// <summary>Ends a checkpoint that is being taken, resumes all domains, switches dirty logs off.</summary>
    public async Task StopAsync()
    {
        if (_stopped)
        {
            return;
        }

        _stopped = true;
        _log.Stopping();
        SetState(V1.NodeState.Stopping);
        Step("Ends what is under way");
        await _stop.CancelAsync().ConfigureAwait(false);
        Wake();
        await _loop.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // A restore or a recovery gives up by the same token.
        await _turn.WaitAsync().ConfigureAwait(false);
        _started = false;
        FailOrders(Problems.Stopping());
        Step("Keeps the channels");
        await ParkAsync().ConfigureAwait(false);
        _uplink?.Dispose();
        Step("Lets the guests go");
        await CloseCheckpointerAsync().ConfigureAwait(false);
        _guardian?.Dispose();
        _store?.Dispose();
        _log.Stopped();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _stop.Dispose();
        _turn.Dispose();
        _wake.Dispose();
        _tidyingStop.Dispose();
    }

    /// <summary>The node, for an operator.</summary>
    public V1.Node Describe()
    {
        INodeMessages? messages = _messages;
        var node = new V1.Node
        {
            Name = _settings.Node,
            ClusterId = _settings.Cluster is { } cluster ? $"{cluster}" : "",
            State = State,
            Version = Version,
            Hypervisor = Hypervisor.Info.Name == "model" ? "model" : $"{Hypervisor.Info.Name} {Hypervisor.Info.Version}",
            Compression = Lz4.Implementation,
            Started = Google.Protobuf.WellKnownTypes.Timestamp.FromDateTimeOffset(Started),
            Protocol = messages is LoneNode ? "bcs" : _settings.Protocol,
            Domains = (uint)Hypervisor.ListDomains().Count(d => d.Id != 0
                && (d.State & (DomainStates.Paused | DomainStates.Shutdown | DomainStates.Dying)) == DomainStates.None),
        };
        if (messages is not null)
        {
            node.Incarnation = (ulong)messages.Incarnation;
            node.Sn = (ulong)messages.Index;
            node.DurableSn = (ulong)messages.DurableIndex;
            node.AwaitsRecovery = messages.AwaitsRecovery;
            node.Peers.AddRange(messages.Peers.Select(Daemon.Messages.From));
        }

        Describe(node);
        return node;
    }

    /// <summary>Removes checkpoints that no recovery can need.</summary>
    /// <param name="request">The safe line.</param>
    /// <exception cref="StatusException">As CollectGarbage in node_control.proto.</exception>
    public async Task<V1.CollectGarbageResponse> CollectGarbageAsync(V1.CollectGarbageRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        RequireStarted();
        if (request.Line > (ulong)_messages!.DurableIndex)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, Problems.Line,
                $"The line {request.Line} is above this node's durable index, {_messages.DurableIndex}: a recovery may go behind it.");
        }

        if (!await _turn.WaitAsync(0).ConfigureAwait(false))
        {
            throw Problems.IsBusy("A checkpoint, a recovery or a restore is under way; ask again when it has ended.");
        }

        try
        {
            if (_file!.State.Pending is { } pending)
            {
                throw Interrupted(pending);
            }

            long line = (long)request.Line;
            IReadOnlyList<CheckpointManifest> all = _store!.Checkpoints;
            IReadOnlyList<CheckpointManifest> gone = request.DryRun
                ? [.. all.Where(m => m != all[^1] && !IsNeeded(m, line))]
                : (await _tidying!.RunAsync(() => Retention.Apply(
                    _store, (_settings.Retention ?? new RetentionPolicy()) with { KeepCount = 1, MinGain = 0 }, DateTimeOffset.UtcNow,
                    m => IsNeeded(m, line), _tidyingStop.Token)).ConfigureAwait(false)).Removed;
            return new V1.CollectGarbageResponse
            {
                Epochs = { gone.Select(m => m.Epoch).Order() },
                Bytes = (ulong)gone.Sum(m => m.Entries.Sum(d => d.Parts.Sum(p => p.Length))),
            };
        }
        finally
        {
            _ = _turn.Release();
            Wake();
        }
    }

    private static string Version { get; } = typeof(NodeDaemon).Assembly.GetName().Version!.ToString(3);

    private static StatusException NotThere() => new(StatusCode.Unavailable, "The daemon starts or stops; try again.");

    private void RequireStarted()
    {
        if (!_started || _stop.IsCancellationRequested)
        {
            throw NotThere();
        }
    }

    private void SetState(V1.NodeState state)
    {
        lock (_gate)
        {
            if (_state is V1.NodeState.Stopping || _state == state)
            {
                return;
            }

            _state = state;
        }

        Events.Add(new V1.Event { State = State });
    }

    // The store tells the index: a manifest is there before the checkpoint's label becomes the index.
    private async Task MakeMessagesAsync()
    {
        if (_messages is not null)
        {
            await _messages.DisposeAsync().ConfigureAwait(false);
        }
        else
        {
            Step("Opens the channels and the guests");
            _uplink = _settings.Nodes.Count > 1 ? _platform.OpenUplink(_settings) : null;
        }

        NodeRecord state = _file!.State;
        long index = Math.Max(state.Index, Line().Select(m => (long)m.Closing.Index).DefaultIfEmpty().Max());
        _messages = _makeMessages(new NodeOrigin(_settings, this, index, state.Incarnation, _uplink, _logger, Parked())
        {
            Lost = state.Departures,
        });

        // The store lies where the operator wants checkpoints to be safe: what is committed there is durable.
        _messages.DurableIndex = index;
        _messagesStarted = false;
        if (_messages.AwaitsRecovery && state.Pending is null)
        {
            _log.AwaitsRecovery(index);
        }
    }

    private void StartMessages()
    {
        if (!_messagesStarted)
        {
            _messagesStarted = true;
            if (_file!.State.Parked is not null)
            {
                // From here on they are of the past.
                _file.Unpark();
                if (!_messages!.AwaitsRecovery)
                {
                    _log.TakenUp(_messages.Index);
                }
            }

            _messages!.Start();
        }
        else
        {
            _messages!.Resume();
        }
    }

    private bool _messagesStarted;

    // Checkpoints of the history that stands.
    private IEnumerable<CheckpointManifest> Line() => _store!.Checkpoints.Where(m => RecoveryChoices.Stands(m.Epoch, _file!.State.Discarded));

    private void OpenCheckpointer()
    {
        if (_checkpointer is not null)
        {
            return;
        }

        _tidyingStop.Dispose();
        _tidyingStop = new CancellationTokenSource();
        _tidying = new Tidying(_store!, _settings.Retention, _log.Note, _tidyingStop.Token, IsNeeded);
        _checkpointer = new NodeCheckpointer(
            Hypervisor, _store!, _platform.Disks(_store!),
            _settings.ForCheckpoints(_policies!.Of, d => _platform.ReachesPeers(d, _settings)), new ChannelState(this))
        {
            Log = _log.Note,
        };
        _checkpointer.Start();
    }

    private async Task CloseCheckpointerAsync()
    {
        if (_checkpointer is not { } checkpointer)
        {
            return;
        }

        await _tidyingStop.CancelAsync().ConfigureAwait(false);
        await _tidying!.FinishAsync().ConfigureAwait(false);
        await checkpointer.DisposeAsync().ConfigureAwait(false);
        _checkpointer = null;
    }

    // No recovery goes behind the least durable index of all nodes (Garbage.Line). Its member here is the first checkpoint
    // with that index or a higher one; the one before it shows that no earlier member is missing.
    private bool IsNeeded(CheckpointManifest manifest)
    {
        INodeMessages messages = _messages!;
        return IsNeeded(manifest, messages.Peers.Select(p => p.DurableIndex).Append(messages.DurableIndex).Min());
    }

    private bool IsNeeded(CheckpointManifest manifest, long line) =>
        (long)manifest.Closing.Index >= line
        || manifest.Epoch == Line().Where(m => (long)m.Closing.Index < line).Max(m => m.Epoch);

    /// <summary>The node's channel state, as its checkpoints see it.</summary>
    private sealed class ChannelState(NodeDaemon node) : IChannelState
    {
        public void Suspended() => node._messages!.Suspended();

        public ReadOnlyMemory<byte> TakeNodeState() => node._messages!.TakeState();

        public void Capture(Guid domain)
        {
            // All of it is the node's.
        }

        public void Write(Guid domain, ImageWriter writer)
        {
            // All of it is the node's.
        }
    }
}
