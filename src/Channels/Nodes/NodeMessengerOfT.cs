using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Owns the channels of a node: the locks, the thread that reads the uplink, the streams and the timer, and what the channels
/// ask to have done.</summary>
/// <remarks>
/// Locks are taken in this order: <see cref="_collecting"/>, <see cref="_pump"/> for the uplink's reading end and the open batches,
/// <see cref="_lock"/> for all else. <see cref="INodeCheckpoints.Begin"/> is called outside of both, so that it may take
/// what locks it likes.
/// </remarks>
internal sealed partial class NodeMessenger<TProtocol> : NodeMessenger, IChannelEffects, IBatchSeals
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
    private readonly ChannelLog _log;
    private readonly NodeTrace _trace;
    private readonly ChannelCore<TProtocol> _core;
    private readonly FrameRouter _router;
    private readonly FramePump _frames;
    private readonly PeerStreams<TProtocol> _streams;
    private Timer? _timer;
    private BegunCheckpoint? _toBegin;
    private string? _uplinkProblem;
    private bool _logFailed;
    private volatile bool _blocked;

    internal NodeMessenger(
        NodeMessengerOptions options, IUplink uplink, INodeCheckpoints checkpoints, ILogger logger)
    {
        (_options, _uplink, _checkpoints) = (options, uplink, checkpoints);
        _events = new ChannelEventLog(logger);
        _log = ChannelLog.Open(options.LogDirectory, options.LogSegmentLength);

        // Not on the log's thread: a recovery waits for that thread with the lock in its hands.
        _log.Changed = () => ThreadPool.UnsafeQueueUserWorkItem(static messenger => messenger.LogChanged(), this, preferLocal: false);
        var topology = new Topology(options);
        _trace = new NodeTrace(NodeTrace.In(options.TracePath), TProtocol.Traits, topology.Number, topology.Nodes, _events);
        _core = new ChannelCore<TProtocol>(
            options, new ChannelParts(topology, uplink, _log, _trace, this, _events, TimeProvider.System));
        _router = new FrameRouter(uplink, topology, this, TimeProvider.System, options.FloodLimit);
        _frames = new FramePump(uplink, Turn, UplinkFailed);
        _streams = new PeerStreams<TProtocol>(options, _core, _lock, _events, uplink.HeaderSize, Begin);
    }

    internal override ChannelLog Log => _log;

    public override void Start()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_core.Phase == MessengerPhase.Disposed, this);
                _core.Start();
                _streams.Changed();
            }
        }

        _frames.Start();
        _timer = new Timer(_ => Beat(), null, _options.HeartbeatInterval, _options.HeartbeatInterval);
        _streams.Start();
    }

    public override bool Tick(CheckpointCause cause)
    {
        bool begins;
        lock (_lock)
        {
            begins = _core.Tick(cause);
        }

        Begin();
        return begins;
    }

    public override void Retry()
    {
        lock (_lock)
        {
            _core.Retry();
        }

        Begin();
    }

    public override void Suspended()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                _core.RequireCheckpoint();
            }

            _router.Drain();
            lock (_lock)
            {
                _core.Suspended();
            }
        }
    }

    public override ReadOnlyMemory<byte> TakeState()
    {
        ChannelState noted;
        lock (_lock)
        {
            noted = _core.Noted();
        }

        return noted.Encode();
    }

    public override void CheckpointDone()
    {
        lock (_lock)
        {
            _core.CheckpointDone();
        }

        _frames.Wake();
        Begin();
    }

    public override void CheckpointFailed()
    {
        lock (_lock)
        {
            _core.CheckpointFailed();
        }

        _frames.Wake();
    }

    public override void Quiesce()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                if (!_core.MayQuiesce())
                {
                    return;
                }

                _router.SealAll(beyond: true);
                _core.Quiesce();
            }
        }

        _streams.EndIncarnation();
    }

    public override long RollBack(
        ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        ChannelState? saved = state.IsEmpty ? null : ChannelState.Decode(state);
        if (saved is not null && saved.Protocol.Index < line && TProtocol.Traits.Line == LineRule.FirstAtLeast)
        {
            throw new ArgumentException(
                $"The checkpoint has the index {saved.Protocol.Index}, and cannot be of line {line}.", nameof(state));
        }

        long replayed;
        lock (_collecting)
        {
            lock (_pump)
            {
                lock (_lock)
                {
                    replayed = _core.RollBack(saved, line, incarnation, lost, adopts);
                }
            }
        }

        _frames.Wake();
        return replayed;
    }

    public override bool Survive(long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        bool begins;
        lock (_pump)
        {
            lock (_lock)
            {
                begins = _core.Survive(line, incarnation, lost, adopts);
                _streams.Changed();
            }
        }

        Begin();
        _frames.Wake();
        return begins;
    }

    public override void Resume()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                _core.Resume();
                _streams.Changed();
            }
        }

        _frames.Wake();
    }

    public override long Adopt(IReadOnlyList<Adoption> adoptions, long line)
    {
        ArgumentNullException.ThrowIfNull(adoptions);
        ChannelState?[] saved = [.. adoptions.Select(a => a.State.IsEmpty ? null : ChannelState.Decode(a.State))];
        lock (_collecting)
        {
            lock (_pump)
            {
                lock (_lock)
                {
                    return _core.Adopt(adoptions, saved, line);
                }
            }
        }
    }

    public override void Settle(string node)
    {
        lock (_lock)
        {
            _core.Settle(node);
        }
    }

    public override async ValueTask DisposeAsync() => await ParkAsync().ConfigureAwait(false);

    public override async ValueTask<ReadOnlyMemory<byte>?> ParkAsync()
    {
        bool running;
        lock (_pump)
        {
            lock (_lock)
            {
                if (_core.Phase == MessengerPhase.Disposed)
                {
                    return null;
                }

                if (_core is { Phase: MessengerPhase.Running, IsHolding: false })
                {
                    _router.SealAll(beyond: true);
                }

                running = _core.End();
            }
        }

        _frames.Stop();
        if (_timer is { } timer)
        {
            await timer.DisposeAsync().ConfigureAwait(false);
        }

        await _streams.DisposeAsync().ConfigureAwait(false);
        _frames.Dispose();
        _log.Dispose();
        ReadOnlyMemory<byte>? parked = null;
        lock (_lock)
        {
            // The null of '?:' would become an empty memory, by way of byte[].
            if (running && _log.Failure is null)
            {
                parked = _core.Park();
            }

            _trace.Dispose();
        }

        return parked;
    }

    internal override Task ServeAsync(ChannelStream stream, CancellationToken call, CancellationToken stopping) =>
        _streams.ServeAsync(stream, call, stopping);
}
