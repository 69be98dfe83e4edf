using Grpc.Core;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Channels;

/// <content>Its beginning and its end.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    private readonly CancellationTokenSource _stop = new();
    private CancellationTokenSource _life;
    private TaskCompletionSource _changed = NewSource();
    private Timer? _timer;

    public override void Start()
    {
        lock (_pump)
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_phase == MessengerPhase.Disposed, this);
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

                    Run();
                }
            }
        }

        _pumpThread.Start();
        _timer = new Timer(_ => Beat(), null, _options.HeartbeatInterval, _options.HeartbeatInterval);
        foreach (PeerAddress peer in _options.Peers)
        {
            if (string.CompareOrdinal(_options.Node, peer.Name) < 0)
            {
                Connect(Array.Find(_links, l => l.Name == peer.Name)!);
            }
        }

        lock (_lock)
        {
            ConnectHosted();
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
                if (_phase == MessengerPhase.Disposed)
                {
                    return null;
                }

                running = _phase == MessengerPhase.Running && !_holding;
                if (running)
                {
                    SealAll(beyond: true);
                }

                _phase = MessengerPhase.Disposed;
                _changed.TrySetResult();
            }
        }

        _stopping = true;
        WakePump();
        await _stop.CancelAsync().ConfigureAwait(false);
        await _life.CancelAsync().ConfigureAwait(false);
        if (_timer is { } timer)
        {
            await timer.DisposeAsync().ConfigureAwait(false);
            _pumpThread.Join();
        }

        Task[] connecting;
        lock (_lock)
        {
            connecting = [.. _connecting];
        }

        await Task.WhenAll(connecting).ConfigureAwait(false);
        while (Volatile.Read(ref _serving) > 0)
        {
            await _handlers.WaitAsync().ConfigureAwait(false);
        }

        _log.Dispose();
        ReadOnlyMemory<byte>? parked = null;
        lock (_lock)
        {
            // The null of '?:' would become an empty memory, by way of byte[].
            if (running && _log.Failure is null)
            {
                parked = Park();
            }

            _trace.Dispose();
        }

        _room.Dispose();
        return parked;
    }

    // Under both locks.
    private void Run()
    {
        _phase = MessengerPhase.Running;
        _changed.TrySetResult();
        _changed = NewSource();
    }

    // Waits until this node carries frames, in at least an incarnation.
    private async Task<CancellationToken> RunningAsync(int incarnation, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_phase == MessengerPhase.Disposed)
                {
                    throw new StatusException(StatusCode.Unavailable, "The node is stopping.");
                }

                if (_phase == MessengerPhase.Running && _gate.Incarnation >= incarnation)
                {
                    return _life.Token;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }
}
