using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Client;
using XenTwoLevelCkpt.Rpc.Nodes;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>Streams to peers. Of two nodes the one whose name comes first opens; a server takes them from either.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    private const double Jitter = 0.5;

    private readonly List<Task> _connecting = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _handlers = new(0);
    private CancellationTokenSource _life;
    private TaskCompletionSource _changed = NewSource();
    private TaskCompletionSource _gateMoved = NewSource();
    private Timer? _timer;
    private int _serving;

    public override ServiceDefinition Define() => new Service(this).Define();

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
                PeerLink link = Array.Find(_links, l => l.Name == peer.Name)!;
                _connecting.Add(Task.Run(() => ConnectAsync(link, peer)));
            }
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

        await Task.WhenAll(_connecting).ConfigureAwait(false);
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

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static int StreamIncarnation(Hello hello) => (int)Math.Min(hello.Incarnation, int.MaxValue);

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

    private async Task ConnectAsync(PeerLink link, PeerAddress peer)
    {
        using var channel = RpcChannel.ForTcp(peer.Host, peer.Port);
        var client = new NodeChannelClient(channel);
        TimeSpan backOff = _options.MinBackOff;
        while (!_stopping)
        {
            bool opened = false;
            string reason = "the peer ended it";
            CancellationToken life = _stop.Token;
            try
            {
                life = await RunningAsync(0, _stop.Token).ConfigureAwait(false);
                using var both = CancellationTokenSource.CreateLinkedTokenSource(life, _stop.Token);
                using BidirectionalCall<ChannelMessage, ChannelMessage> call =
                    client.Exchange(new CallOptions(CancellationToken: both.Token));
                ChannelMessage mine;
                lock (_lock)
                {
                    mine = MyHello(link);
                }

                await call.WriteAsync(mine).ConfigureAwait(false);
                Hello theirs = WireRules.Hello(
                    await call.ReadAsync().ConfigureAwait(false), _options.Cluster, _uplink.HeaderSize);
                if (theirs.Node != link.Name)
                {
                    throw new StatusException(
                        StatusCode.PermissionDenied, $"The node at {peer.Host}:{peer.Port} calls itself '{theirs.Node}'.");
                }

                using LinkSession session = Attach(link, theirs, both.Token);
                opened = true;
                backOff = _options.MinBackOff;
                await RunAsync(session, call, call, serves: false).ConfigureAwait(false);
            }
            catch (StatusException e)
            {
                reason = $"{e.Code}: {e.Message}";
            }
            catch (OperationCanceledException)
            {
                reason = "this node stops it";
            }
            catch (Exception e)
            {
                // A defect; the channel goes on with the next stream all the same.
                reason = e.Message;
                _events.Failed(link.Name, e);
            }

            Closed(link, reason, opened);
            await BackOffAsync(backOff, life).ConfigureAwait(false);
            backOff = TimeSpan.FromTicks(Math.Min(backOff.Ticks * 2, _options.MaxBackOff.Ticks));
        }
    }

    // A recovery ends the wait: what was refused in the old incarnation may be taken in the new one.
    private async Task BackOffAsync(TimeSpan backOff, CancellationToken life)
    {
        try
        {
            using var both = CancellationTokenSource.CreateLinkedTokenSource(life, _stop.Token);
            double factor = 1 - (Jitter * Random.Shared.NextDouble());
            await Task.Delay(backOff * factor, both.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Go on.
        }
    }

    private void Closed(PeerLink link, string reason, bool opened)
    {
        lock (_lock)
        {
            // What comes again with each attempt is told once.
            if (!opened && link.Problem != reason && !_stopping)
            {
                _events.InTrouble(link.Name, reason);
            }

            link.Problem = opened ? null : reason;
        }

        if (opened)
        {
            _events.Closed(link.Name, reason);
        }
    }

    private async Task ServeAsync(
        IMessageReader<ChannelMessage> received, IMessageWriter<ChannelMessage> sent, CallContext call)
    {
        _ = Interlocked.Increment(ref _serving);
        string peer = "a stranger";
        try
        {
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(
                call.CancellationToken, call.Stopping, _stop.Token);
            Hello hello = WireRules.Hello(
                await received.ReadAsync(ends.Token).ConfigureAwait(false), _options.Cluster, _uplink.HeaderSize);
            PeerLink link = Array.Find(_links, l => l.Name == hello.Node)
                ?? throw new StatusException(StatusCode.PermissionDenied, "There is no other node of this name in the cluster.");
            peer = link.Name;
            CancellationToken life = await RunningAsync(StreamIncarnation(hello), ends.Token).ConfigureAwait(false);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(ends.Token, life);
            using LinkSession session = await TakeOverAsync(link, hello, both.Token).ConfigureAwait(false);
            ChannelMessage mine;
            lock (_lock)
            {
                mine = MyHello(link);
            }

            string reason = "the peer ended it";
            try
            {
                await sent.WriteAsync(mine, session.Token).ConfigureAwait(false);
                await RunAsync(session, received, sent, serves: true).ConfigureAwait(false);
            }
            catch (Exception e) when (e is StatusException or OperationCanceledException)
            {
                reason = e.Message;
                throw;
            }
            finally
            {
                Detach(session);
                _events.Closed(link.Name, reason);
            }
        }
        catch (StatusException e)
        {
            if (e.Code != StatusCode.Unavailable)
            {
                _events.Refused(peer, $"{e.Code}: {e.Message}");
            }

            throw;
        }
        catch (OperationCanceledException) when (!call.CancellationToken.IsCancellationRequested)
        {
            throw new StatusException(StatusCode.Unavailable, "The node is stopping, or a recovery begins.");
        }
        finally
        {
            _ = Interlocked.Decrement(ref _serving);
            if (_stopping)
            {
                _ = _handlers.Release();
            }
        }
    }

    // A stream that is open already stays, if it lives. One that is silent has lost its connection without a word.
    private async Task<LinkSession> TakeOverAsync(PeerLink link, Hello hello, CancellationToken cancellation)
    {
        while (true)
        {
            LinkSession? old;
            lock (_lock)
            {
                old = link.Session;
                if (old is { Token.IsCancellationRequested: false } && (old.Rests || IsHeard(link)))
                {
                    throw new StatusException(
                        StatusCode.AlreadyExists, $"A stream of '{link.Name}' is open in incarnation {old.Incarnation}.");
                }
            }

            if (old is null)
            {
                return Attach(link, hello, cancellation);
            }

            old.Cancel();
            await old.Ended.Task.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    private bool IsHeard(PeerLink link) => DateTimeOffset.UtcNow - link.LastHeard < _options.Patience;

    // Makes a stream the one of its link: from here on what is sent goes out on it.
    private LinkSession Attach(PeerLink link, Hello hello, CancellationToken cancellation)
    {
        lock (_lock)
        {
            int incarnation = _gate.Incarnation;
            if (_phase != MessengerPhase.Running || (int)Math.Min(hello.Incarnation, int.MaxValue) > incarnation)
            {
                throw new StatusException(StatusCode.Unavailable, "A recovery begins.");
            }

            if (hello.Incarnation < (ulong)incarnation)
            {
                throw StatusException.Because(
                    StatusCode.FailedPrecondition, "INCARNATION",
                    $"Incarnation {hello.Incarnation} is over; this one is {incarnation}.");
            }

            if (link.Session is not null)
            {
                throw new StatusException(StatusCode.AlreadyExists, $"A stream of '{link.Name}' is open.");
            }

            IReadOnlyCollection<SentBatch> again;
            try
            {
                again = link.Out.Resume(WireRules.Number(hello.ReceivedThrough, "received_through") + 1);
            }
            catch (ChannelException e)
            {
                throw StatusException.Because(StatusCode.FailedPrecondition, "CHANNEL", e.Message, e);
            }

            var session = new LinkSession(link, incarnation, cancellation) { HeartbeatDue = true };
            foreach (SentBatch batch in again)
            {
                session.Enqueue(batch);
            }

            link.Session = session;
            link.Index = (long)hello.Sn;
            link.Incarnation = incarnation;
            link.LastHeard = DateTimeOffset.UtcNow;
            link.Problem = null;
            _events.Opened(link.Name, incarnation);
            RoomMade();
            return session;
        }
    }

    private void Detach(LinkSession session)
    {
        lock (_lock)
        {
            if (session.Link.Session == session)
            {
                session.Link.Session = null;
            }
        }

        _ = session.Ended.TrySetResult();
    }

    // What is told as received is what can be acknowledged, not what is held: the peer forgets it.
    private ChannelMessage MyHello(PeerLink link) => new()
    {
        Hello = new Hello
        {
            ProtocolVersion = WireRules.Version,
            ClusterId = _options.Cluster.ToString("D"),
            Node = _options.Node,
            Incarnation = (ulong)_gate.Incarnation,
            Sn = (ulong)_gate.Index,
            ReceivedThrough = (ulong)link.Acknowledgeable,
            VnetHeaderSize = (uint)_uplink.HeaderSize,
        },
    };

    // Until either direction ends. The other one is ended then, and waited for: nobody uses the stream afterwards.
    private async Task RunAsync(
        LinkSession session, IMessageReader<ChannelMessage> reader, IMessageWriter<ChannelMessage> writer, bool serves)
    {
        try
        {
            Task reading = ReadAsync(session, reader, serves);
            Task writing = WriteAsync(session, writer);
            Task first = await Task.WhenAny(reading, writing).ConfigureAwait(false);
            session.Cancel();
            try
            {
                await Task.WhenAll(reading, writing).ConfigureAwait(false);
            }
            catch (Exception e) when (e is StatusException or OperationCanceledException)
            {
                // Only the first one tells the cause.
            }

            await first.ConfigureAwait(false);
        }
        finally
        {
            Detach(session);
        }
    }

    private async Task ReadAsync(LinkSession session, IMessageReader<ChannelMessage> reader, bool serves)
    {
        while (await reader.ReadAsync(session.Token).ConfigureAwait(false) is { } message)
        {
            Take(session, message);
            Begin();
            while (Rests(session, out Task moved))
            {
                await moved.WaitAsync(session.Token).ConfigureAwait(false);
            }
        }

        // The peer has ended its side. It hears what becomes of its batches before this side ends, too.
        while (serves && !IsAllAcknowledged(session))
        {
            await Task.Delay(_options.MinBackOff, session.Token).ConfigureAwait(false);
        }
    }

    private bool IsAllAcknowledged(LinkSession session)
    {
        lock (_lock)
        {
            return session.Link.Acknowledgeable == session.Link.In.Expected - 1 && session.HasAcknowledged;
        }
    }

    private async Task WriteAsync(LinkSession session, IMessageWriter<ChannelMessage> writer)
    {
        while (true)
        {
            ChannelMessage? message;
            lock (_lock)
            {
                message = session.Next(MyHeartbeat, out bool isBatch);
                if (isBatch)
                {
                    // A trace that knows of a delivery has to know of the sending, whoever is killed when.
                    _trace.Flush();
                }
            }

            if (message is null)
            {
                await session.WaitAsync().ConfigureAwait(false);
            }
            else
            {
                await writer.WriteAsync(message, session.Token).ConfigureAwait(false);
                if (message.Batch is { } batch)
                {
                    lock (_lock)
                    {
                        session.Written = (long)batch.Sequence;
                    }
                }
            }
        }
    }

    private Heartbeat MyHeartbeat() => new()
    {
        Incarnation = (ulong)_gate.Incarnation,
        Sn = (ulong)_gate.Index,
        DurableSn = (ulong)Math.Min(_durable, _gate.Index),
        UptimeNanos = (ulong)_clock.Elapsed.TotalNanoseconds,
    };

    private void RoomMade()
    {
        if (_blocked)
        {
            _blocked = false;
            WakePump();
        }
    }

    // True while too much waits for a checkpoint for more to be read.
    private bool Rests(LinkSession session, out Task moved)
    {
        lock (_lock)
        {
            session.Rests = _gate.IsFull;
            moved = _gateMoved.Task;
            return session.Rests;
        }
    }

    // Readers that rest look again. Under the lock.
    private void GateMoved()
    {
        if (!_gate.IsFull)
        {
            _gateMoved.TrySetResult();
            _gateMoved = NewSource();
        }
    }

    private void Beat()
    {
        lock (_lock)
        {
            foreach (PeerLink link in _links)
            {
                if (link.Session is { } session)
                {
                    session.HeartbeatDue = true;
                    session.Signal();
                }
            }

            _trace.Flush();
        }

        try
        {
            CollectGarbage();
        }
        catch (IOException e)
        {
            _events.LogFailed(e);
        }
    }

    private string? Problem(PeerLink link) =>
        _awaitsRecovery ? "This node has been running before, and waits for a recovery."
        : _log.Failure is { } failure ? $"The channel log cannot be written: {failure.Message}"
        : _uplinkProblem is { } broken ? $"The uplink is broken: {broken}"
        : link.Problem is { } problem ? problem
        : link.FullSince is { } since && DateTimeOffset.UtcNow - since > _options.Patience
            ? $"{link.Out.Bytes} octets are not acknowledged; the guests' frames wait."
        : null;

    private sealed class Service(NodeMessenger<TProtocol> messenger) : NodeChannelService
    {
        protected override Task ExchangeAsync(
            IMessageReader<ChannelMessage> received, IMessageWriter<ChannelMessage> sent, CallContext call) =>
            messenger.ServeAsync(received, sent, call);
    }
}
