using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>Streams that open and end, what this node says on them of itself, and what an operator hears of them.</content>
internal sealed partial class ChannelCore<TProtocol>
{
    /// <summary>A lost node whose domains are here, and are so in every line that a failure can still take the cluster back to; null for
    /// none.</summary>
    internal string? ToSettle => _phase == MessengerPhase.Running
        ? _topology.Hosted.FirstOrDefault(hosted => hosted.First > 0 && !_topology.IsSettled(hosted)
            && _history.Durable >= hosted.First
            && Array.TrueForAll(_topology.Routes, link => link.DurableIndex >= hosted.First))?.Name
        : null;

    /// <summary>It is known on disk that a lost node is settled.</summary>
    internal void Settle(string node)
    {
        _topology.Settle(node);
        Reckon();
    }

    /// <summary>Each peer is told the indexes.</summary>
    internal void Beat()
    {
        Reckon();
        foreach (PeerLink link in _topology.All)
        {
            if (link.Session is { } session)
            {
                session.HeartbeatDue = true;
                session.Signal();
            }
        }

        _trace.Flush();
    }

    /// <summary>The message that a stream writes next; null where there is none.</summary>
    internal ChannelMessage? Next(LinkSession session)
    {
        ChannelMessage? message = session.Next(MyHeartbeat, out bool isBatch);
        if (isBatch)
        {
            // A trace that knows of a delivery has to know of the sending, whoever is killed when.
            _trace.Flush();
        }

        return message;
    }

    /// <summary>What this node says first on a stream. What is told as received is what can be acknowledged, not what is held: the peer
    /// forgets it.</summary>
    internal ChannelMessage MyHello(PeerLink link) => new()
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

    /// <summary>The link that a peer's stream is for.</summary>
    /// <exception cref="StatusException">There is none.</exception>
    internal PeerLink LinkFor(Hello hello)
    {
        HostedNode? end = hello.ForNode.Length == 0 ? null : _topology.HostedOf(hello.ForNode);
        return hello.ForNode.Length > 0 && end is null
            ? throw Lost("The domains of the lost node that the stream is for are not here.")
            : _topology.LinkOf(end, _topology.NumberOf(hello.Node))
                ?? throw Lost("The domains of both nodes are here.");
    }

    /// <summary>A stream that has to end before another one takes its place; null where there is none.</summary>
    /// <exception cref="StatusException">The one that is open stays: it lives.</exception>
    internal LinkSession? ToReplace(PeerLink link)
    {
        LinkSession? old = link.Session;
        return old is { IsEnding: false } && (old.Rests || link.IsHeard(_clock, _options.Patience))
            ? throw new StatusException(
                StatusCode.AlreadyExists, $"A stream of '{link.Name}' is open in incarnation {old.Incarnation}.")
            : old;
    }

    /// <summary>Makes a stream the one of its link: from here on what is sent goes out on it.</summary>
    /// <param name="session">The stream.</param>
    /// <param name="hello">What the peer said first.</param>
    /// <exception cref="StatusException">The stream is not for this node as it is now.</exception>
    internal void Attach(LinkSession session, Hello hello)
    {
        PeerLink link = session.Link;
        int incarnation = _gate.Incarnation;
        if (_phase != MessengerPhase.Running || link.IsRetired || hello.Incarnation > (ulong)incarnation)
        {
            throw new StatusException(StatusCode.Unavailable, "A recovery begins.");
        }

        if (hello.Incarnation < (ulong)incarnation)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, "INCARNATION", $"Incarnation {hello.Incarnation} is over; this one is {incarnation}.");
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

        session.Incarnation = incarnation;
        session.HeartbeatDue = true;
        foreach (SentBatch batch in again)
        {
            session.Enqueue(batch);
        }

        _topology.Order();
        link.Session = session;
        link.Index = (long)hello.Sn;
        link.Incarnation = incarnation;
        link.Heard(_clock);
        link.Problem = null;
        _events.Opened(link.Name, incarnation);
        _effects.RoomMade();
    }

    /// <summary>Nobody uses the stream any more.</summary>
    internal static void Detach(LinkSession session)
    {
        if (session.Link.Session == session)
        {
            session.Link.Session = null;
        }
    }

    /// <summary>True where the peer has been told all that was delivered of its batches.</summary>
    internal static bool IsAllAcknowledged(LinkSession session) =>
        session.Link.Acknowledgeable == session.Link.In.Expected - 1 && session.HasAcknowledged;

    /// <summary>The links, in the order of the peers' names.</summary>
    /// <param name="uplinkProblem">Why no frames are carried; null where they are.</param>
    internal PeerStatus[] Peers(string? uplinkProblem) =>
    [
        .. _topology.Links.Select(link => new PeerStatus(
            link.Name, link.Session is not null || link.Host == _options.Node, link.Index, link.DurableIndex, link.Incarnation,
            link.LastHeard, link.Out.Count, Problem(link, uplinkProblem)) { SettledIncarnation = link.SettledIncarnation }),
    ];

    private string? Problem(PeerLink link, string? uplinkProblem) =>
        _awaitsRecovery ? "This node has been running before, and waits for a recovery."
        : _log.Failure is { } failure ? $"The channel log cannot be written: {failure.Message}"
        : uplinkProblem is { } broken ? $"The uplink is broken: {broken}"
        : link.Problem is { } problem ? problem
        : IsStuck(link)
            ? $"{link.Out.Bytes} octets are not acknowledged; the guests' frames for it wait"
                + (link.Open.Dropped > 0 ? $", and {link.Open.Dropped} have been dropped." : ".")
        : null;

    private Heartbeat MyHeartbeat(PeerLink link) => new()
    {
        Incarnation = (ulong)_gate.Incarnation,
        Sn = (ulong)_gate.Index,
        DurableSn = (ulong)Math.Min(link.End is { } hosted ? DurableOf(hosted) : _history.Durable, _gate.Index),
        SettledIncarnation = (ulong)Math.Min(SettledIncarnation, _gate.Incarnation),
        UptimeNanos = (ulong)_clock.GetElapsedTime(_begun).TotalNanoseconds,
    };

    // The lost node's durable index, as this one tells it: a recovery that brings its domains here once more goes to their line.
    private long DurableOf(HostedNode hosted) => _topology.IsSettled(hosted) ? _history.Durable : hosted.Line;

    // What this node has to say of lost ones, as if they said it themselves.
    private void Reckon()
    {
        foreach (HostedNode hosted in _topology.Hosted)
        {
            PeerLink link = _topology[hosted.Number]!;
            link.Heard(_clock);
            link.Index = _gate.Index;
            link.Incarnation = _gate.Incarnation;
            link.DurableIndex = Math.Min(DurableOf(hosted), _gate.Index);
            link.Problem = null;
        }
    }

    private static void RequireSpeaker(PeerLink link, Hello hello)
    {
        if (hello.Host != (link.Host ?? ""))
        {
            throw Lost(link.Host is { } host
                ? $"Node '{link.Name}' was lost, and '{host}' has its domains: only that one speaks for it."
                : $"Another node speaks for '{link.Name}', which is not lost as far as this one knows.");
        }

        if (hello.ForNode != (link.End?.Name ?? ""))
        {
            throw Lost("The stream is for another node.");
        }
    }

    private static StatusException Lost(string message) =>
        StatusException.Because(StatusCode.FailedPrecondition, "LOST", message);
}
