using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What the channels of a node do at present.</summary>
internal enum MessengerPhase
{
    /// <summary>They have not begun, or wait for the recovery of an earlier life.</summary>
    Waiting,

    /// <summary>They carry frames.</summary>
    Running,

    /// <summary>A recovery stopped them.</summary>
    Quiesced,

    /// <summary>They are no more.</summary>
    Disposed,
}

/// <summary>
/// The channels of a node as a function of what happens: batches and acknowledgements that come, checkpoints that begin and end,
/// recoveries. It waits for nothing, has no thread and no stream, and reads no clock but the one it is given: its owner is
/// <see cref="NodeMessenger{TProtocol}"/> in the daemon, and a simulation of whole clusters elsewhere. docs/protocol.md tells the rules
/// and why they suffice.
/// </summary>
/// <remarks>One thread at a time: under the owner's lock. Each method names what else has to stand still.</remarks>
/// <typeparam name="TProtocol">A protocol whose messages carry one index.</typeparam>
internal sealed partial class ChannelCore<TProtocol> : IArrivals
    where TProtocol : struct, IScalarProtocol<TProtocol>
{
    private readonly NodeMessengerOptions _options;
    private readonly IUplink _uplink;
    private readonly IChannelLog _log;
    private readonly INodeTrace _trace;
    private readonly IChannelEffects _effects;
    private readonly ChannelEventLog _events;
    private readonly TimeProvider _clock;
    private readonly Topology _topology;
    private readonly CheckpointHistory _history = new();
    private readonly ArrivalGate<TProtocol> _gate;
    private readonly bool _goesOn;
    private readonly long _begun;
    private MessengerPhase _phase;
    private bool _started;
    private bool _awaitsRecovery;
    private bool _awaitsAdoption;

    // The line that the last recovery asked this node to reach.
    private long _raiseTo;

    // From Suspended to the end of the checkpoint.
    private ChannelState? _noted;
    private CheckpointCause _cause = CheckpointCause.Basic;
    private BegunCheckpoint? _pending;

    /// <summary>The channels of a node that begins, or goes on with <see cref="NodeMessengerOptions.Parked"/>.</summary>
    /// <param name="options">The cluster, and limits; checked.</param>
    /// <param name="parts">What they work with.</param>
    internal ChannelCore(NodeMessengerOptions options, ChannelParts parts)
    {
        _options = options;
        (_uplink, _log, _trace, _effects, _clock) = (parts.Uplink, parts.Log, parts.Trace, parts.Effects, parts.Clock);
        _events = parts.Events;
        _begun = _clock.GetTimestamp();
        _topology = parts.Topology;
        ParkedChannels? parked = Parked(options.Parked);
        _goesOn = parked is not null;
        _gate = new ArrivalGate<TProtocol>(
            parked is null
                ? new ProtocolNode<TProtocol, long>(Initial, 0)
                : new ProtocolNode<TProtocol, long>(TProtocol.From(parked.State.Protocol), parked.Incarnation),
            this, options.HeldBytes);
        _awaitsRecovery = _log.WasUsed && !_goesOn;
        if (parked is not null)
        {
            Unpark(parked);
        }
    }

    /// <summary>The nodes and the channels to them.</summary>
    internal Topology Topology => _topology;

    internal MessengerPhase Phase => _phase;

    /// <summary>The node's index: that of its last checkpoint.</summary>
    internal long Index => _gate.Index;

    /// <summary>The node's incarnation; where it waits for a recovery, that of the life before.</summary>
    internal int Incarnation => _awaitsRecovery ? _log.Incarnation : _gate.Incarnation;

    /// <summary>The greatest index whose checkpoint is durable.</summary>
    internal long DurableIndex
    {
        get => _history.Durable;
        set => _history.Durable = value;
    }

    /// <summary>The index that the last checkpoint was saved with.</summary>
    internal long SavedIndex => _history.LastIndex;

    /// <summary>The index of the oldest checkpoint that the store keeps; <see cref="long.MaxValue"/> for no more than failures need.
    /// </summary>
    internal long OldestKept { get; set; } = long.MaxValue;

    /// <summary>The incarnation of the last recovery that brought lost nodes' domains up, where it is known on disk that all of them are
    /// settled; 0 otherwise.</summary>
    internal int SettledIncarnation { get; set; }

    /// <summary>True where the node has been running before and its channels are gone with the process.</summary>
    internal bool AwaitsRecovery => _awaitsRecovery;

    /// <summary>True from a recovery after which domains of a lost node come here to their <see cref="Adopt"/>.</summary>
    internal bool AwaitsAdoption => _awaitsAdoption;

    /// <summary>True from <see cref="Suspended"/> to the end of the checkpoint: nothing leaves.</summary>
    internal bool IsHolding => _noted is not null;

    /// <summary>The channels begin to carry frames, unless they wait for a recovery. Nobody reads the uplink meanwhile.</summary>
    /// <exception cref="InvalidOperationException">They were started before.</exception>
    /// <exception cref="IOException">The channel log cannot be written.</exception>
    internal void Start()
    {
        if (_started)
        {
            throw new InvalidOperationException("The messenger was started before.");
        }

        _started = true;
        if (_awaitsRecovery)
        {
            _events.AwaitsRecovery();
        }
        else if (_phase == MessengerPhase.Waiting)
        {
            if (_goesOn)
            {
                _trace.Begin();
            }
            else if (_gate.Incarnation == 0)
            {
                _trace.Begin();
                _ = _log.Begin(0);
                _log.Commit();
            }

            _phase = MessengerPhase.Running;
        }
    }

    /// <summary>The channels end.</summary>
    /// <returns>True where <see cref="Park"/> may follow: frames were carried, and no checkpoint was being taken.</returns>
    internal bool End()
    {
        bool running = _phase == MessengerPhase.Running && !IsHolding;
        _phase = MessengerPhase.Disposed;
        return running;
    }

    /// <summary>The timer for basic checkpoints has fired, or somebody asks for a checkpoint.</summary>
    /// <param name="cause">Why.</param>
    /// <returns>True where one begins.</returns>
    internal bool Tick(CheckpointCause cause)
    {
        if (_phase != MessengerPhase.Running || _pending is not null)
        {
            return false;
        }

        _cause = cause;
        _gate.Tick();
        _cause = CheckpointCause.Basic;
        return _pending is not null;
    }

    /// <summary>Asks again about the batches that wait, some time after a checkpoint failed.</summary>
    internal void Retry()
    {
        if (_phase != MessengerPhase.Running || _pending is not null)
        {
            return;
        }

        _cause = CheckpointCause.Recovery;
        bool raises = _raiseTo > _gate.Index && _gate.Raise(_raiseTo);
        _cause = CheckpointCause.Basic;
        if (!raises)
        {
            _gate.Retry();
        }

        GateMoved();
    }

    /// <summary>Says whether a checkpoint may be noted now: before what the guests have sent is drained.</summary>
    /// <exception cref="InvalidOperationException">None is being taken.</exception>
    internal void RequireCheckpoint()
    {
        if (_phase != MessengerPhase.Running && !_awaitsAdoption)
        {
            throw NoCheckpoint();
        }
    }

    /// <summary>All domains are suspended, and what they sent has been sealed: the state of the channels is noted. Nobody reads the
    /// uplink meanwhile.</summary>
    /// <exception cref="InvalidOperationException">No checkpoint is being taken.</exception>
    internal void Suspended()
    {
        (long label, CheckpointCause cause, _) = _pending ?? throw NoCheckpoint();
        _noted = new ChannelState
        {
            Protocol = _gate.Save().State,
            Ordinal = _history.Ordinal + 1,
            Kind = KindOf(cause),
            Checkpoints = [.. _history.Reaching(_gate.Index), new TakenCheckpoint(label, label)],
            Peers = [.. _topology.Links.Select(link => link.Note())],
            Uplink = _uplink.Save(),
            Hosted = [.. _topology.Hosted.Select(hosted => hosted.Note(_gate.Index + 1))],
        };
    }

    /// <summary>The state as it was at <see cref="Suspended"/>.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    internal ChannelState Noted()
    {
        // What the checkpoint has as sent is sent again after a recovery to it: the trace has to know of the sending, even where the
        // process ends before it notes the checkpoint.
        _trace.Flush();
        return _noted ?? throw new InvalidOperationException(
            "There is no channel state: it is noted when all domains are suspended.");
    }

    /// <summary>The checkpoint is saved: its label is the index now, and what waits goes on.</summary>
    /// <exception cref="InvalidOperationException">None is being taken.</exception>
    internal void CheckpointDone()
    {
        (long label, CheckpointCause cause, _) = _pending ?? throw NoCheckpoint();
        _pending = null;
        _trace.Saved(KindOf(cause), label);
        _history.Add(label, _gate.Index);
        foreach (HostedNode hosted in _topology.Hosted.Where(hosted => hosted.First == 0))
        {
            // The one before it is the member of all lines that were reached before.
            hosted.First = _gate.Index + 1;
        }

        DropNote();
        _gate.CheckpointDone();
        GateMoved();
        _effects.RoomMade();
    }

    /// <summary>The checkpoint is not saved. A batch that forced it goes on waiting.</summary>
    /// <exception cref="InvalidOperationException">None is being taken.</exception>
    internal void CheckpointFailed()
    {
        if (_pending is null)
        {
            throw NoCheckpoint();
        }

        _pending = null;
        _trace.Failed();
        DropNote();
        _gate.CheckpointFailed();
        _effects.RoomMade();
    }

    /// <summary>Forgets checkpoints that no recovery needs any more, by what the peers tell of themselves.</summary>
    /// <returns>The ordinal of this node's member of the safe line, for <see cref="ChannelLog.Collect"/>; null where it is the oldest
    /// checkpoint anyway.</returns>
    internal long? Forget() => _phase == MessengerPhase.Running
        ? _history.Forget(_topology.Links.Select(link => link.DurableIndex), OldestKept)
        : null;

    // No checkpoint is of the initial state: it stands for no line but the first, as if something had been sent in it. The index then
    // rises with the first checkpoint only.
    private static TProtocol Initial =>
        TProtocol.From(TProtocol.Traits.Line == LineRule.LastBeforeReaching ? new ScalarState(0, 1) : default);

    private static InvalidOperationException NoCheckpoint() => new(
        "No checkpoint is being taken: one begins when INodeCheckpoints.Begin is called, and ends once.");

    private static TraceEventKind KindOf(CheckpointCause cause) => cause switch
    {
        CheckpointCause.Forced => TraceEventKind.Forced,
        CheckpointCause.Recovery => TraceEventKind.Other,
        _ => TraceEventKind.Basic,
    };

    private void DropNote()
    {
        _noted = null;
        foreach (PeerLink link in _topology.All)
        {
            link.IsNoted = false;
        }
    }

    // Readers that rest look again.
    private void GateMoved()
    {
        if (!_gate.IsFull)
        {
            _effects.GateMoved();
        }
    }
}

/// <summary>What the channels of a node work with.</summary>
/// <param name="Topology">The nodes.</param>
/// <param name="Uplink">The local guests.</param>
/// <param name="Log">The channel log.</param>
/// <param name="Trace">Learns what happens.</param>
/// <param name="Effects">Carries out what the channels ask for.</param>
/// <param name="Events">Gets what an operator has to know.</param>
/// <param name="Clock">Tells how long links have been silent or full.</param>
internal sealed record ChannelParts(
    Topology Topology, IUplink Uplink, IChannelLog Log, INodeTrace Trace, IChannelEffects Effects, ChannelEventLog Events, TimeProvider Clock);
