using Grpc.Core;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Streams to peers over gRPC. Of two nodes the one whose name comes first opens; a server takes them from either.</summary>
/// <remarks>Thread-safe; the core is used under the messenger's lock.</remarks>
/// <typeparam name="TProtocol">A protocol whose messages carry one index.</typeparam>
internal sealed partial class PeerStreams<TProtocol> : IAsyncDisposable
    where TProtocol : struct, IScalarProtocol<TProtocol>
{
    // Of a wait, so that nodes that lost each other at one moment do not come back at one moment.
    private const double Jitter = 0.5;

    private readonly NodeMessengerOptions _options;
    private readonly ChannelCore<TProtocol> _core;
    private readonly Lock _lock;
    private readonly ChannelEventLog _events;
    private readonly int _headerSize;
    private readonly Action _begin;
    private readonly StreamLife _life = new();
    private readonly List<Task> _connecting = [];
    private readonly HashSet<PeerLink> _dialled = [];
    private readonly SemaphoreSlim _handlers = new(0);
    private TaskCompletionSource _gateMoved = StreamLife.NewSource();
    private int _serving;

    /// <summary>The streams of a node that has not begun.</summary>
    /// <param name="options">The cluster, and limits.</param>
    /// <param name="core">The channels.</param>
    /// <param name="coreLock">Held whenever the core is used.</param>
    /// <param name="events">Learns what happens to streams.</param>
    /// <param name="headerSize">Octets before each frame.</param>
    /// <param name="begin">Called outside of the lock after a message was taken: a checkpoint may have to begin.</param>
    internal PeerStreams(
        NodeMessengerOptions options, ChannelCore<TProtocol> core, Lock coreLock, ChannelEventLog events, int headerSize, Action begin)
    {
        (_options, _core, _lock, _events, _headerSize, _begin) = (options, core, coreLock, events, headerSize, begin);
    }

    /// <summary>Begins to connect to peers.</summary>
    internal void Start()
    {
        lock (_lock)
        {
            foreach (PeerLink link in _core.Topology.Links)
            {
                if (string.CompareOrdinal(_options.Node, link.Name) < 0)
                {
                    Connect(link);
                }
            }

            ConnectHosted();
        }
    }

    /// <summary>Opens streams for lost nodes whose domains are here, as far as there are none. Under the lock.</summary>
    internal void ConnectHosted()
    {
        foreach (PeerLink link in _core.Topology.Hosted.SelectMany(hosted => hosted.Links).OfType<PeerLink>())
        {
            if (string.CompareOrdinal(link.End!.Name, link.Name) < 0 && link.Name != _options.Node && _dialled.Add(link))
            {
                Connect(link);
            }
        }
    }

    /// <summary>Frames are carried, or are no more.</summary>
    internal void Changed() => _life.Changed();

    /// <summary>Ends the streams of an incarnation.</summary>
    internal void EndIncarnation() => _life.EndIncarnation();

    /// <summary>Readers that rest look again. Under the lock.</summary>
    internal void GateMoved()
    {
        _gateMoved.TrySetResult();
        _gateMoved = StreamLife.NewSource();
    }

    /// <summary>Ends all streams, and waits until nobody uses one.</summary>
    public async ValueTask DisposeAsync()
    {
        await _life.DisposeAsync().ConfigureAwait(false);
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
    }

    /// <summary>Serves a stream that another node opened; ends with it.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="call">Cancelled when the stream's call is over.</param>
    /// <param name="stopping">Cancelled when the server is to stop.</param>
    /// <exception cref="StatusException">The stream ends as node_channel.proto says.</exception>
    internal async Task ServeAsync(ChannelStream stream, CancellationToken call, CancellationToken stopping)
    {
        _ = Interlocked.Increment(ref _serving);
        string peer = "a stranger";
        try
        {
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(call, stopping, _life.Stopped);
            Hello hello = await HelloAsync(stream, ends.Token).ConfigureAwait(false);
            peer = _core.Topology.LinkTo(hello.Node)?.Name
                ?? throw new StatusException(StatusCode.PermissionDenied, "There is no other node of this name in the cluster.");
            CancellationToken life = await RunningAsync((int)Math.Min(hello.Incarnation, int.MaxValue), ends.Token).ConfigureAwait(false);
            PeerLink link;
            lock (_lock)
            {
                link = _core.LinkFor(hello);
            }

            using var both = CancellationTokenSource.CreateLinkedTokenSource(ends.Token, life);
            using StreamSession session = await TakeOverAsync(link, hello, both.Token).ConfigureAwait(false);
            string reason = "the peer ended it";
            try
            {
                await stream.WriteAsync(MyHello(link), session.Token).ConfigureAwait(false);
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
            if (_life.IsStopping)
            {
                _ = _handlers.Release();
            }
        }
    }

    // Waits until this node carries frames, in at least an incarnation.
    private Task<CancellationToken> RunningAsync(int incarnation, CancellationToken cancellation) => _life.RunningAsync(
        () => _core.Phase == MessengerPhase.Running && _core.Incarnation >= incarnation, _lock, cancellation);

    private ChannelMessage MyHello(PeerLink link)
    {
        lock (_lock)
        {
            return _core.MyHello(link);
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

        return WireRules.Hello(first, _options.Cluster, _headerSize);
    }

    // A stream that is open already stays, if it lives. One that is silent has lost its connection without a word.
    private async Task<StreamSession> TakeOverAsync(PeerLink link, Hello hello, CancellationToken cancellation)
    {
        while (true)
        {
            StreamSession? old;
            lock (_lock)
            {
                old = (StreamSession?)_core.ToReplace(link);
            }

            if (old is null)
            {
                return Attach(link, hello, cancellation);
            }

            old.Cancel();
            await old.Ended.Task.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    private StreamSession Attach(PeerLink link, Hello hello, CancellationToken cancellation)
    {
        var session = new StreamSession(link, cancellation);
        try
        {
            lock (_lock)
            {
                _core.Attach(session, hello);
            }

            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private void Detach(StreamSession session)
    {
        lock (_lock)
        {
            ChannelCore<TProtocol>.Detach(session);
        }

        _ = session.Ended.TrySetResult();
    }
}
