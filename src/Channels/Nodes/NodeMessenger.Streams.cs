using System.Diagnostics;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>Streams to peers. Of two nodes the one whose name comes first opens; a server takes them from either.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    private const double Jitter = 0.5;

    private readonly List<Task> _connecting = [];
    private readonly HashSet<PeerLink> _dialled = [];
    private readonly SemaphoreSlim _handlers = new(0);
    private int _serving;

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static int StreamIncarnation(Hello hello) => (int)Math.Min(hello.Incarnation, int.MaxValue);

    // Under the lock.
    private void ConnectHosted()
    {
        foreach (PeerLink link in _hosted.SelectMany(hosted => hosted.Links).OfType<PeerLink>())
        {
            if (string.CompareOrdinal(link.End!.Name, link.Name) < 0 && link.Name != _options.Node && _dialled.Add(link))
            {
                Connect(link);
            }
        }
    }

    private void Connect(PeerLink link)
    {
        lock (_lock)
        {
            _ = _connecting.RemoveAll(task => task.IsCompleted);
            _connecting.Add(Task.Run(() => ConnectAsync(link)));
        }
    }

    private async Task ConnectAsync(PeerLink link)
    {
        TimeSpan backOff = _options.MinBackOff;
        while (!_stopping && !link.IsRetired)
        {
            if (AddressOf(link) is not { } peer)
            {
                await BackOffAsync(_options.MaxBackOff, _stop.Token).ConfigureAwait(false);
                continue;
            }

            bool opened = false;
            string reason = "the peer ended it";
            CancellationToken life = _stop.Token;
            try
            {
                life = await RunningAsync(0, _stop.Token).ConfigureAwait(false);
                if (link.IsRetired)
                {
                    // By the recovery that was waited for.
                    break;
                }

                using var channel = RpcChannel.ForTcp(peer.Host, peer.Port);
                using var both = CancellationTokenSource.CreateLinkedTokenSource(life, _stop.Token);
                using ChannelCall call = NodeChannel.Exchange(channel, both.Token);
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
                await RunAsync(session, call, serves: false).ConfigureAwait(false);
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

        lock (_lock)
        {
            _ = _dialled.Remove(link);
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

    internal override async Task ServeAsync(ChannelStream stream, CancellationToken call, CancellationToken stopping)
    {
        _ = Interlocked.Increment(ref _serving);
        string peer = "a stranger";
        try
        {
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(call, stopping, _stop.Token);
            Hello hello = await HelloAsync(stream, ends.Token).ConfigureAwait(false);
            peer = Array.Find(_links, l => l.Name == hello.Node)?.Name
                ?? throw new StatusException(StatusCode.PermissionDenied, "There is no other node of this name in the cluster.");
            CancellationToken life = await RunningAsync(StreamIncarnation(hello), ends.Token).ConfigureAwait(false);
            PeerLink link = LinkFor(hello);
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
                await stream.WriteAsync(mine, session.Token).ConfigureAwait(false);
                await RunAsync(session, stream, serves: true).ConfigureAwait(false);
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
        catch (OperationCanceledException) when (!call.IsCancellationRequested)
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

    // Whoever opens a stream says at once who it is: one that does not costs a stream and its memory.
    private async Task<Hello> HelloAsync(ChannelStream stream, CancellationToken ends)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(ends);
        late.CancelAfter(_options.HelloPatience);
        ChannelMessage? first;
        try
        {
            first = await stream.ReadAsync(late.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (late.IsCancellationRequested && !ends.IsCancellationRequested)
        {
            throw new StatusException(
                StatusCode.DeadlineExceeded, $"No Hello came within {_options.HelloPatience.TotalSeconds:0.###} s.", inner: e);
        }

        return WireRules.Hello(first, _options.Cluster, _uplink.HeaderSize);
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

    private bool IsHeard(PeerLink link) => link.LastHeard is not null && link.Silent < _options.Patience;

    // Makes a stream the one of its link: from here on what is sent goes out on it.
    private LinkSession Attach(PeerLink link, Hello hello, CancellationToken cancellation)
    {
        lock (_lock)
        {
            int incarnation = _gate.Incarnation;
            if (_phase != MessengerPhase.Running || link.IsRetired || (int)Math.Min(hello.Incarnation, int.MaxValue) > incarnation)
            {
                throw new StatusException(StatusCode.Unavailable, "A recovery begins.");
            }

            if (hello.Incarnation < (ulong)incarnation)
            {
                throw StatusException.Because(
                    StatusCode.FailedPrecondition, "INCARNATION",
                    $"Incarnation {hello.Incarnation} is over; this one is {incarnation}.");
            }

            RequireSpeaker(link, hello);
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

            Order();
            link.Session = session;
            link.Index = (long)hello.Sn;
            link.Incarnation = incarnation;
            link.Heard();
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
            Node = link.End?.Name ?? _options.Node,
            Host = link.End is null ? "" : _options.Node,
            ForNode = link.Host is null ? "" : link.Name,
            Incarnation = (ulong)_gate.Incarnation,
            Sn = (ulong)_gate.Index,
            ReceivedThrough = (ulong)link.Acknowledgeable,
            VnetHeaderSize = (uint)_uplink.HeaderSize,
        },
    };

    private string? Problem(PeerLink link) =>
        _awaitsRecovery ? "This node has been running before, and waits for a recovery."
        : _log.Failure is { } failure ? $"The channel log cannot be written: {failure.Message}"
        : _uplinkProblem is { } broken ? $"The uplink is broken: {broken}"
        : link.Problem is { } problem ? problem
        : link.FullSince is { } since && Stopwatch.GetElapsedTime(since) > _options.Patience
            ? $"{link.Out.Bytes} octets are not acknowledged; the guests' frames for it wait"
                + (link.Dropped > 0 ? $", and {link.Dropped} have been dropped." : ".")
        : null;
}
