using System.Buffers;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What a messenger does at present.</summary>
internal enum MessengerPhase
{
    /// <summary>It has not begun, or waits for the recovery of an earlier life.</summary>
    Waiting,

    /// <summary>It carries frames.</summary>
    Running,

    /// <summary>A recovery stopped it.</summary>
    Quiesced,

    /// <summary>It is no more.</summary>
    Disposed,
}

/// <content>Checkpoints.</content>
/// <remarks>
/// Locks are taken in this order: <see cref="_collecting"/>, <see cref="_pump"/> for the uplink's reading end and the open batches,
/// <see cref="_lock"/> for all else. <see cref="INodeCheckpoints.Begin"/> is called outside of both, so that it may take
/// what locks it likes.
/// </remarks>
internal sealed partial class NodeMessenger<TProtocol> : NodeMessenger, IArrivals
    where TProtocol : struct, IScalarProtocol<TProtocol>
{
    // Files of the channel log are removed, or are being read in a recovery. Before the other two.
    private readonly Lock _collecting = new();
    private readonly Lock _pump = new();
    private readonly Lock _lock = new();
    private readonly NodeMessengerOptions _options;
    private readonly IUplink _uplink;
    private readonly INodeCheckpoints _checkpoints;
    private readonly ChannelEventLog _events;
    private readonly ArrivalGate<TProtocol> _gate;
    private readonly ChannelLog _log;
    private readonly NodeTrace _trace;
    private readonly int _number;

    // In the order of the names; by number with a null for this node.
    private readonly PeerLink[] _links;
    private readonly PeerLink?[] _byNumber;
    private readonly string[] _names;

    // Where frames are read to that no peer lives for.
    private readonly PeerLink _spare;

    // The history that stands, from the oldest checkpoint that a recovery may go back to.
    private readonly List<TakenCheckpoint> _taken = [new(0, 0)];
    private long _ordinal;
    private long _durable;
    private long _raiseTo;
    private MessengerPhase _phase;
    private bool _started;
    private bool _awaitsRecovery;
    private bool _goesOn;
    private bool _logFailed;
    private string? _uplinkProblem;

    // From Suspended to the end of the checkpoint.
    private bool _holding;
    private ChannelState? _noted;
    private CheckpointCause _cause = CheckpointCause.Basic;
    private BegunCheckpoint? _pending;
    private BegunCheckpoint? _toBegin;

    internal NodeMessenger(
        NodeMessengerOptions options, IUplink uplink, INodeCheckpoints checkpoints, ILogger logger)
    {
        _options = options;
        _uplink = uplink;
        _checkpoints = checkpoints;
        _events = new ChannelEventLog(logger);
        _names = [.. options.Peers.Select(peer => peer.Name).Append(options.Node).Order(StringComparer.Ordinal)];
        _number = Array.IndexOf(_names, options.Node);
        _byNumber = new PeerLink?[_names.Length];
        for (int i = 0; i < _names.Length; i++)
        {
            _byNumber[i] = i == _number ? null : new PeerLink(_names[i], i, options.WindowBytes, options.WaitingBytes);
        }

        _links = [.. _byNumber.OfType<PeerLink>()];
        _spare = new PeerLink(options.Node, _number, options.WindowBytes, waitingLimit: 0);
        _likely = _spare;
        Learn(options.Lost);
        _log = ChannelLog.Open(options.LogDirectory, options.LogSegmentLength);
        ParkedChannels? parked = Parked(options.Parked);
        _goesOn = parked is not null;
        _gate = new ArrivalGate<TProtocol>(
            parked is null
                ? new ProtocolNode<TProtocol, long>(_number, _names.Length)
                : new ProtocolNode<TProtocol, long>(TProtocol.From(parked.State.Protocol), parked.Incarnation),
            this, options.HeldBytes);

        // Not on the log's thread: a recovery waits for that thread with the lock in its hands.
        _log.Changed = () => ThreadPool.UnsafeQueueUserWorkItem(static messenger => messenger.LogChanged(), this, preferLocal: false);
        _awaitsRecovery = _log.WasUsed && !_goesOn;
        _trace = new NodeTrace(options.TracePath, TProtocol.Traits, _number, _names.Length, _events);
        _life = new CancellationTokenSource();
        _pumpThread = new Thread(Pump) { IsBackground = true, Name = "uplink" };
        if (parked is not null)
        {
            Unpark(parked);
        }
    }

    public override long Index
    {
        get
        {
            lock (_lock)
            {
                return _gate.Index;
            }
        }
    }

    public override int Incarnation
    {
        get
        {
            lock (_lock)
            {
                return _awaitsRecovery ? _log.Incarnation : _gate.Incarnation;
            }
        }
    }

    public override long DurableIndex
    {
        get
        {
            lock (_lock)
            {
                return _durable;
            }
        }

        set
        {
            lock (_lock)
            {
                _durable = value;
            }
        }
    }

    public override bool AwaitsRecovery
    {
        get
        {
            lock (_lock)
            {
                return _awaitsRecovery;
            }
        }
    }

    public override IReadOnlyList<PeerStatus> Peers
    {
        get
        {
            lock (_lock)
            {
                return Array.ConvertAll(_links, link => new PeerStatus(
                    link.Name, link.Session is not null || link.Host == _options.Node, link.Index, link.DurableIndex, link.Incarnation, link.LastHeard,
                    link.Out.Count, Problem(link)));
            }
        }
    }

    internal override ChannelLog Log => _log;

    public override bool Tick(CheckpointCause cause)
    {
        bool begins;
        lock (_lock)
        {
            if (_phase != MessengerPhase.Running || _pending is not null)
            {
                return false;
            }

            _cause = cause;
            _gate.Tick();
            _cause = CheckpointCause.Basic;
            begins = _pending is not null;
        }

        Begin();
        return begins;
    }

    public override void Retry()
    {
        lock (_lock)
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

        Begin();
    }

    public override void Suspended()
    {
        lock (_pump)
        {
            if (_phase != MessengerPhase.Running && !_awaitsAdoption)
            {
                throw NoCheckpoint();
            }

            Drain();
            lock (_lock)
            {
                (long label, CheckpointCause cause, _) = _pending ?? throw NoCheckpoint();
                _holding = true;
                _noted = new ChannelState
                {
                    Protocol = _gate.Save().State,
                    Ordinal = _ordinal + 1,
                    Kind = KindOf(cause),
                    Checkpoints = [.. _taken[..^1], _taken[^1] with { Reach = _gate.Index }, new(label, label)],
                    Peers = Array.ConvertAll(_links, link => link.Note()),
                    Uplink = _uplink.Save(),
                    Hosted = [.. _hosted.Select(hosted => hosted.Note(_gate.Index + 1))],
                };
            }
        }
    }

    public override ReadOnlyMemory<byte> TakeState()
    {
        ChannelState noted;
        lock (_lock)
        {
            noted = _noted ?? throw new InvalidOperationException(
                "There is no channel state: it is noted when all domains are suspended.");
        }

        return noted.Encode();
    }

    public override void CheckpointDone()
    {
        lock (_lock)
        {
            (long label, CheckpointCause cause, _) = _pending ?? throw NoCheckpoint();
            _pending = null;
            _trace.Saved(KindOf(cause), label);
            _ordinal++;
            _taken[^1] = _taken[^1] with { Reach = _gate.Index };
            _taken.Add(new TakenCheckpoint(label, label));
            foreach (HostedNode hosted in _hosted.Where(hosted => hosted.First == 0))
            {
                // The one before it is the member of all lines that were reached before.
                hosted.First = _gate.Index + 1;
            }

            _holding = false;
            DropNote();
            _gate.CheckpointDone();
            GateMoved();
        }

        WakePump();
        Begin();
    }

    public override void CheckpointFailed()
    {
        lock (_lock)
        {
            if (_pending is null)
            {
                throw NoCheckpoint();
            }

            _pending = null;
            _trace.Failed();
            _holding = false;
            DropNote();
            _gate.CheckpointFailed();
        }

        WakePump();
    }

    /// <inheritdoc/>
    void IArrivals.Deliver(in ArrivedBatch batch, bool logged)
    {
        PeerLink link = LinkOf(batch);
        Hand(link, batch.Frames.Span, AudienceOf(link.End, batch.Origin));
        link.In.Settle(batch.Sequence);
        if (logged)
        {
            link.AwaitLog(batch.Sequence, _log.Append(new LoggedBatch(
                link.Name, batch.Origin, batch.Sequence, batch.Index, _gate.Index, _ordinal, batch.Frames, link.End?.Name)));
        }

        _trace.Delivered(
            batch.From, batch.To < 0 ? _number : batch.To, batch.Origin, batch.Sequence, _gate.Index, logged);
        link.Session?.Signal();
        if (batch.Pooled && MemoryMarshal.TryGetArray(batch.Frames, out ArraySegment<byte> frames))
        {
            // The guests and the log have copies.
            ArrayPool<byte>.Shared.Return(frames.Array!);
        }
    }

    /// <inheritdoc/>
    void IArrivals.Reject(in ArrivedBatch batch)
    {
        // Streams end with an incarnation, and what the gate holds is dropped with them.
    }

    /// <inheritdoc/>
    void IArrivals.BeginCheckpoint(long label, ArrivedBatch? forcedBy)
    {
        _pending = forcedBy is { } message
            ? new BegunCheckpoint(label, CheckpointCause.Forced, new ForcingMessage(_byNumber[message.From]!.Name, message.Index))
            : new BegunCheckpoint(label, _cause, null);
        _toBegin = _pending;
    }

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
        foreach (PeerLink link in _all)
        {
            link.IsNoted = false;
        }
    }

    // Gives frames to the local guests. Who sent them is at the other end of the link, unless that is here.
    private void Hand(PeerLink link, ReadOnlySpan<byte> frames, Audience? audience)
    {
        TimeSpan now = _clock.Elapsed;
        int sender = link.Host is null ? link.Number : NumberOf(link.Host);
        foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(frames))
        {
            if (sender >= 0 && sender != _number)
            {
                lock (_macs)
                {
                    _macs.Learn(frame[_uplink.HeaderSize..], sender, now);
                }
            }

            try
            {
                _uplink.Write(frame, audience);
            }
            catch (IOException e)
            {
                // The guests' port is gone, and with it whoever the frame is for.
                UplinkFailed(e);
            }
        }
    }

    private void UplinkFailed(IOException e)
    {
        if (Interlocked.Exchange(ref _uplinkProblem, e.Message) is null)
        {
            _events.UplinkFailed(e);
        }
    }

    // A checkpoint that was asked for under the lock.
    private void Begin()
    {
        BegunCheckpoint? begin;
        lock (_lock)
        {
            begin = _toBegin;
            _toBegin = null;
        }

        if (begin is var (label, cause, forcedBy))
        {
            _checkpoints.Begin(label, cause, forcedBy);
        }
    }

    private void LogChanged()
    {
        lock (_lock)
        {
            foreach (PeerLink link in _all)
            {
                link.LogCommitted(_log.Committed);
                link.Session?.Signal();
            }

            if (_log.Failure is { } failure && !_logFailed)
            {
                _logFailed = true;
                _events.LogFailed(failure);
            }
        }
    }

    // What no recovery needs any more (Garbage), by what the peers tell of themselves.
    private void CollectGarbage()
    {
        lock (_collecting)
        {
            if (GarbageBefore() is long member)
            {
                _log.Collect(member);
            }
        }
    }

    // The ordinal of this node's member of the safe line; null where it is the oldest checkpoint anyway.
    private long? GarbageBefore()
    {
        lock (_lock)
        {
            if (_phase != MessengerPhase.Running)
            {
                return null;
            }

            long safe = Garbage.SafeLine(_links.Select(link => link.DurableIndex).Append(_durable));
            StoredCheckpoint[] stored = [.. _taken.Select(taken => new StoredCheckpoint(taken.Label, taken.Reach))];
            int place = Garbage.Checkpoints(stored, safe);
            if (place == 0)
            {
                return null;
            }

            _taken.RemoveRange(0, place);
            return _ordinal - (_taken.Count - 1);
        }
    }
    private sealed record BegunCheckpoint(long Label, CheckpointCause Cause, ForcingMessage? ForcedBy);
}
