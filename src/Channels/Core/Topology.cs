namespace XenTwoLevelCkpt.Channels;

/// <summary>Which nodes there are, which of them are lost, where the domains of those are, and the channels that follow from it.
/// docs/protocol.md, "A lost node".</summary>
/// <remarks>Under the messenger's locks: changed under all of them, <see cref="Routes"/> is read under the pump's alone.</remarks>
internal sealed class Topology
{
    private readonly string _node;
    private readonly string[] _names;

    // In the order of the names; by number with a null for this node.
    private readonly PeerLink[] _links;
    private readonly PeerLink?[] _byNumber;

    // By lost node where its domains came to, and when.
    private readonly Dictionary<string, Departure> _departures = new(StringComparer.Ordinal);
    private readonly List<HostedNode> _hosted = [];

    // The links of channels that have ended.
    private PeerLink[] _ended = [];

    // The last incarnation that brought domains here.
    private int _hostedSince;

    internal Topology(NodeMessengerOptions options)
    {
        _node = options.Node;
        _names = [.. options.Peers.Select(peer => peer.Name).Append(options.Node).Order(StringComparer.Ordinal)];
        Number = Array.IndexOf(_names, options.Node);
        _byNumber = new PeerLink?[_names.Length];
        for (int i = 0; i < _names.Length; i++)
        {
            _byNumber[i] = i == Number ? null : new PeerLink(_names[i], i, options.WindowBytes, options.WaitingBytes);
        }

        _links = [.. _byNumber.OfType<PeerLink>()];
        Learn(options.Lost);
    }

    /// <summary>This node's number: its place among all names of the cluster.</summary>
    internal int Number { get; }

    /// <summary>How many nodes the cluster has.</summary>
    internal int Nodes => _names.Length;

    /// <summary>This node's own links, to lost nodes too, in the order of the names.</summary>
    internal IReadOnlyList<PeerLink> Links => _links;

    /// <summary>The links on which this node's guests' frames leave. Another array after each change.</summary>
    internal PeerLink[] Routes { get; private set; } = [];

    /// <summary>All links, those of hosted nodes included.</summary>
    internal PeerLink[] All { get; private set; } = [];

    /// <summary>Lost nodes whose domains are here.</summary>
    internal IReadOnlyList<HostedNode> Hosted => _hosted;

    /// <summary>This node's link to a node.</summary>
    internal PeerLink? this[int number] => _byNumber[number];

    /// <summary>A node's number; -1 where there is none of this name.</summary>
    internal int NumberOf(string name) => Array.IndexOf(_names, name);

    /// <summary>This node's link to a peer; null where there is no such peer.</summary>
    internal PeerLink? LinkTo(string name) => Array.Find(_links, link => link.Name == name);

    /// <summary>The node's notes of a lost one; null where it is not lost.</summary>
    internal Departure? DepartureOf(string name) => _departures.GetValueOrDefault(name);

    /// <summary>Takes note of nodes that are lost.</summary>
    internal void Learn(IReadOnlyList<Departure>? lost)
    {
        foreach (Departure departure in lost ?? [])
        {
            _departures[departure.Node] = departure;
        }

        Rewire();
    }

    /// <summary>Takes note on disk that the domains of a lost node are settled in their place.</summary>
    internal void Settle(string node)
    {
        if (_departures.TryGetValue(node, out Departure? departure))
        {
            _departures[node] = departure with { Settled = true };
        }
    }

    /// <summary>The domains of these lost nodes are here, and those of no others.</summary>
    internal void Host(IReadOnlyList<HostedNode> nodes)
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
    }

    /// <summary>Those that were here at a checkpoint; null for the initial state.</summary>
    internal void Host(ChannelState? state) =>
        Host([.. (state?.Hosted ?? []).Where(hosted => NumberOf(hosted.Name) >= 0).Select(Make)]);

    /// <summary>The ends of a lost node's channels.</summary>
    internal HostedNode Make(HostedState state) => new(state, NumberOf(state.Name), _names);

    /// <summary>Sets what follows from the nodes that are lost and those whose domains are here.</summary>
    internal void Rewire()
    {
        All = [.. _links, .. _hosted.SelectMany(hosted => hosted.Links.OfType<PeerLink>())];
        foreach (PeerLink link in All)
        {
            link.Host = HostOf(link.Name);
            link.EndedIn = Math.Min(
                DepartureOf(link.Name)?.Incarnation ?? int.MaxValue,
                link.End is { } end ? DepartureOf(end.Name)?.Incarnation ?? end.Incarnation : int.MaxValue);
        }

        // What is sent to a node whose domains are not here yet, and will be, is kept for their adoption.
        Routes =
        [
            .. _links.Where(link => link.Host is null
                || (link.Host == _node && !_hosted.Exists(hosted => hosted.Number == link.Number))),
        ];
        _hostedSince = _hosted.Select(hosted => hosted.Incarnation).DefaultIfEmpty().Max();
        _ended = [.. All.Where(link => link.EndedIn != int.MaxValue && Where(link) != _node)];
        Order();
    }

    /// <summary>Of the channels between the same two nodes the ones that ended first go first.</summary>
    internal void Order()
    {
        if (_ended.Length == 0)
        {
            return;
        }

        foreach (PeerLink link in All)
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

    /// <summary>The node at the other end of a link.</summary>
    internal static string Where(PeerLink link) => link.Host ?? link.Name;

    /// <summary>Where the domains of a node are, which may have been lost since with their next one; null where it lives.</summary>
    internal string? HostOf(string name)
    {
        string? host = null;
        for (int i = 0; i <= _departures.Count && _departures.TryGetValue(host ?? name, out Departure? departure); i++)
        {
            host = departure.Host;
        }

        return host;
    }

    /// <summary>The node that frames of a link come from, by its number; null where they come from here.</summary>
    internal int? SenderOf(PeerLink link) =>
        (link.Host is null ? link.Number : NumberOf(link.Host)) is var sender && sender >= 0 && sender != Number ? sender : null;

    /// <summary>The channels of an end here with a node; null for this node's own end.</summary>
    internal PeerLink? LinkOf(HostedNode? end, int number) => number < 0 ? null : (end?.Links ?? _byNumber)[number];

    /// <summary>The channels of a batch.</summary>
    internal PeerLink LinkOf(in ArrivedBatch batch)
    {
        int to = batch.To;
        return LinkOf(to < 0 ? null : _hosted.Find(hosted => hosted.Number == to), batch.From)!;
    }

    /// <summary>The lost node of a name, where its domains are here.</summary>
    internal HostedNode? HostedOf(string name) => _hosted.Find(hosted => hosted.Name == name);

    /// <summary>The guests for which a batch may have frames: those that were at the node that it was sent to, when it was sent; null
    /// for all.</summary>
    internal Audience? AudienceOf(HostedNode? end, int origin)
    {
        if (end is null && origin >= _hostedSince)
        {
            return null;
        }

        string node = end?.Name ?? _node;
        HostedNode[] there = [.. _hosted.Where(hosted => hosted == end || HomeIn(hosted.Name, origin) == node)];
        if (end is not null)
        {
            return Audience.Only(there.SelectMany(OwnOf));
        }

        Guid[] elsewhere = [.. _hosted.Except(there).SelectMany(OwnOf)];
        return elsewhere.Length > 0 ? Audience.Except(elsewhere) : null;
    }

    // Where the domains of a node were in an incarnation.
    private string HomeIn(string name, int incarnation)
    {
        string home = name;
        for (int i = 0; i <= _departures.Count && _departures.GetValueOrDefault(home)?.HostIn(incarnation) is { } host; i++)
        {
            home = host;
        }

        return home;
    }

    // Without the domains that had come to it from nodes that were lost before it.
    private IEnumerable<Guid> OwnOf(HostedNode node) =>
        node.Domains.Except(_hosted.Where(other => other.Host == node.Name).SelectMany(other => other.Domains));

    /// <summary>True where a lost node's domains are in their new place in every line that a failure can take the cluster back to.</summary>
    internal bool IsSettled(HostedNode hosted) => DepartureOf(hosted.Name) is { Settled: true };
}
