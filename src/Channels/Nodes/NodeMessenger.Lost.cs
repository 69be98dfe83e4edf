using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <content>Lost nodes: whose domains are here, and whose are elsewhere. docs/protocol.md, "A lost node".</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    // By lost node where its domains came to, and when.
    private readonly Dictionary<string, Departure> _departures = new(StringComparer.Ordinal);
    private readonly List<HostedNode> _hosted = [];

    // This node's links to peers that live; all links, those of hosted nodes included; those of channels that have ended.
    private PeerLink[] _routes = [];
    private PeerLink[] _all = [];
    private PeerLink[] _ended = [];

    // The last incarnation that brought domains here.
    private int _hostedSince;
    private bool _awaitsAdoption;

    public override bool AwaitsAdoption
    {
        get
        {
            lock (_lock)
            {
                return _awaitsAdoption;
            }
        }
    }

    public override string? ToSettle
    {
        get
        {
            lock (_lock)
            {
                return _phase == MessengerPhase.Running
                    ? _hosted.Find(hosted => hosted.First > 0 && !IsSettled(hosted) && _durable >= hosted.First
                        && Array.TrueForAll(_routes, link => link.DurableIndex >= hosted.First))?.Name
                    : null;
            }
        }
    }

    public override void Settle(string node)
    {
        lock (_lock)
        {
            if (_departures.TryGetValue(node, out Departure? departure))
            {
                _departures[node] = departure with { Settled = true };
            }

            Reckon();
        }
    }

    // Under both locks: which nodes are lost.
    private void Learn(IReadOnlyList<Departure>? lost)
    {
        foreach (Departure departure in lost ?? [])
        {
            _departures[departure.Node] = departure;
        }

        Rewire();
    }

    // Under both locks: these are here, and no others.
    private void Host(IReadOnlyList<HostedNode> nodes)
    {
        foreach (HostedNode gone in _hosted.Except(nodes))
        {
            foreach (PeerLink link in gone.Links.OfType<PeerLink>())
            {
                link.IsRetired = true;
            }
        }

        _hosted.Clear();
        _hosted.AddRange(nodes);
        Rewire();
        if (_started)
        {
            ConnectHosted();
        }
    }

    private void Host(ChannelState? state) =>
        Host([.. (state?.Hosted ?? []).Where(hosted => NumberOf(hosted.Name) >= 0)
            .Select(hosted => new HostedNode(hosted, NumberOf(hosted.Name), _names))]);

    // What follows from the nodes that are lost and those whose domains are here.
    private void Rewire()
    {
        _all = [.. _links, .. _hosted.SelectMany(hosted => hosted.Links.OfType<PeerLink>())];
        foreach (PeerLink link in _all)
        {
            link.Host = HostOf(link.Name);
            link.EndedIn = Math.Min(
                _departures.GetValueOrDefault(link.Name)?.Incarnation ?? int.MaxValue,
                link.End is { } end ? _departures.GetValueOrDefault(end.Name)?.Incarnation ?? end.Incarnation : int.MaxValue);
        }

        // What is sent to a node whose domains are not here yet, and will be, is kept for their adoption.
        _routes =
        [
            .. _links.Where(link => link.Host is null
                || (link.Host == _options.Node && !_hosted.Exists(hosted => hosted.Number == link.Number))),
        ];
        _hostedSince = _hosted.Select(hosted => hosted.Incarnation).DefaultIfEmpty().Max();
        _ended = [.. _all.Where(link => link.EndedIn != int.MaxValue && Where(link) != _options.Node)];
        if (!_routes.Contains(_likely))
        {
            _likely = _routes.Length > 0 ? _routes[0] : _spare;
        }

        Order();
    }

    // Of the channels between the same two nodes the ones that ended first go first.
    private void Order()
    {
        if (_ended.Length == 0)
        {
            return;
        }

        foreach (PeerLink link in _all)
        {
            bool waits = Array.Exists(
                _ended, older => older.EndedIn < link.EndedIn && older.Out.Count > 0 && Where(older) == Where(link));
            if (link.Waits != waits)
            {
                link.Waits = waits;
                link.Session?.Signal();
            }
        }
    }

    // The node at the other end of a link.
    private static string Where(PeerLink link) => link.Host ?? link.Name;

    // Where the domains of a node are, which may have been lost since with their next one; null where it lives.
    private string? HostOf(string name)
    {
        string? host = null;
        for (int i = 0; i <= _departures.Count && _departures.TryGetValue(host ?? name, out Departure? departure); i++)
        {
            host = departure.Host;
        }

        return host;
    }

    private int NumberOf(string name) => Array.IndexOf(_names, name);

    // The channels of an end here with a node; null for this node's own end.
    private PeerLink? LinkOf(HostedNode? end, int number) => number < 0 ? null : (end?.Links ?? _byNumber)[number];

    private PeerLink LinkOf(in ArrivedBatch batch)
    {
        int to = batch.To;
        return LinkOf(to < 0 ? null : _hosted.Find(hosted => hosted.Number == to), batch.From)!;
    }

    // The guests for which a batch may have frames: those that were at the node that it was sent to, when it was sent.
    private Audience? AudienceOf(HostedNode? end, int origin)
    {
        if (end is null && origin >= _hostedSince)
        {
            return null;
        }

        string node = end?.Name ?? _options.Node;
        Guid[] since = [.. _hosted.Where(h => h.Host == node && h.Incarnation > origin).SelectMany(h => h.Domains)];
        return end is not null ? Audience.Only(end.Domains.Except(since))
            : since.Length > 0 ? Audience.Except(since)
            : null;
    }

    // The lost node's durable index, as this one tells it: a recovery that brings its domains here once more goes to their line.
    private long DurableOf(HostedNode hosted) => IsSettled(hosted) ? _durable : hosted.Line;

    private bool IsSettled(HostedNode hosted) => _departures.GetValueOrDefault(hosted.Name) is { Settled: true };

    // What this node has to say of lost ones, as if they said it themselves.
    private void Reckon()
    {
        foreach (HostedNode hosted in _hosted)
        {
            PeerLink link = _byNumber[hosted.Number]!;
            link.Heard();
            link.Index = _gate.Index;
            link.Incarnation = _gate.Incarnation;
            link.DurableIndex = Math.Min(DurableOf(hosted), _gate.Index);
            link.Problem = null;
        }
    }

    // The address of a link's other end; null where that is here, or not to be reached any more.
    private PeerAddress? AddressOf(PeerLink link)
    {
        lock (_lock)
        {
            string where = Where(link);
            return link.IsRetired || where == _options.Node
                ? null
                : _options.Peers.FirstOrDefault(peer => peer.Name == where) is { Name: not null } peer ? peer : null;
        }
    }

    // The link that a peer's stream is for.
    private PeerLink LinkFor(Hello hello)
    {
        lock (_lock)
        {
            HostedNode? end = hello.ForNode.Length == 0 ? null : _hosted.Find(hosted => hosted.Name == hello.ForNode);
            return hello.ForNode.Length > 0 && end is null
                ? throw Lost("The domains of the lost node that the stream is for are not here.")
                : LinkOf(end, NumberOf(hello.Node))
                    ?? throw Lost("The domains of both nodes are here.");
        }
    }

    // Under the lock.
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
