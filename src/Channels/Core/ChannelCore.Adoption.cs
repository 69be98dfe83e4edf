namespace XenTwoLevelCkpt.Channels;

/// <content>The guests of lost nodes come here: what was on its way to and from them is handed over.</content>
internal sealed partial class ChannelCore<TProtocol>
{
    /// <summary>The domains of lost nodes have been put back here, and do not run yet: what was on its way to and from them is handed
    /// over, in the order in which it was sent. Nobody reads the uplink or collects the log meanwhile.</summary>
    /// <param name="adoptions">What is left of the lost nodes.</param>
    /// <param name="saved">Their channels at their checkpoints; null for the initial state.</param>
    /// <param name="line">k.</param>
    /// <returns>Batches that are delivered.</returns>
    /// <exception cref="InvalidOperationException">No recovery said that domains come here.</exception>
    /// <exception cref="ArgumentException">One is not known as lost, with its domains here.</exception>
    /// <exception cref="IOException">A log cannot be read.</exception>
    internal long Adopt(IReadOnlyList<Adoption> adoptions, ChannelState?[] saved, long line)
    {
        if (!_awaitsAdoption)
        {
            throw new InvalidOperationException("RollBack or Survive comes first, and says that domains come here.");
        }

        if (adoptions.FirstOrDefault(a => !ComesHere(a.Node)) is { } strange)
        {
            throw new ArgumentException(
                $"'{strange.Node}' is not one of the nodes that are lost and whose domains are here.", nameof(adoptions));
        }

        // What a lost node had of others that were lost before it goes where they go now, if that is said.
        string[] names = [.. adoptions.Select(a => a.Node)];
        var hosts = new List<AdoptedEnds>();
        for (int i = 0; i < adoptions.Count; i++)
        {
            hosts.Add(new AdoptedEnds(adoptions[i], saved[i], EndsOf(adoptions[i], saved[i], line, names)));
        }

        HostedNode[] all = [.. hosts.SelectMany(h => h.Ends)];
        HostedNode[] before = [.. _topology.Hosted.Where(h => !all.Any(end => end.Name == h.Name))];
        _topology.Host([.. before, .. all]);
        HostedChanged();
        foreach (AdoptedEnds host in hosts)
        {
            _uplink.Admit(host.Adoption.Domains, host.State?.Uplink ?? []);
        }

        long delivered = 0;
        for (int i = 0; i < hosts.Count; i++)
        {
            // Of two that are lost, the second one takes what the first one had sent it, too, and gives what it had sent.
            delivered += Receive(hosts[i], [.. before, .. hosts.Take(i).SelectMany(h => h.Ends)], line);
        }

        // What this node has to deliver again; some of it is for these domains, where they have been here before.
        delivered += Replay(_log.Replay(line, _history.Ordinal));
        for (int i = 0; i < hosts.Count; i++)
        {
            delivered += Give(hosts[i], [.. before, .. hosts.Take(i).SelectMany(h => h.Ends)]);
        }

        foreach (AdoptedEnds host in hosts)
        {
            _uplink.Join(host.Adoption.Domains);
        }

        _topology.Rewire();
        Reckon();
        _awaitsAdoption = false;
        return delivered;
    }

    private bool ComesHere(string node) => _topology.NumberOf(node) is var number && number >= 0 && number != _topology.Number
        && _topology.HostOf(node) == _options.Node;

    private HostedNode[] EndsOf(Adoption adoption, ChannelState? saved, long line, string[] names) =>
    [
        _topology.Make(new HostedState(
            adoption.Node, _options.Node, _topology.DepartureOf(adoption.Node)!.Incarnation, line, 0, [.. adoption.Domains],
            saved?.Peers ?? [])),
        .. (saved?.Hosted ?? []).Where(state => _topology.NumberOf(state.Name) >= 0 && !names.Contains(state.Name))
            .Select(state => _topology.Make(state with { Line = line, First = 0 })),
    ];

    // What the lost node had taken, and what had been sent to it from here. Its own trace tells of these.
    private int Receive(AdoptedEnds host, HostedNode[] before, long line)
    {
        (Adoption adoption, ChannelState? saved, HostedNode[] ends) = host;
        var again = new List<(int From, int To, int Origin, long Sequence)>();
        foreach (LoggedBatch entry in _log.ReplayLost(adoption.LogDirectory, line, saved?.Ordinal ?? 0))
        {
            HostedNode? end = Array.Find(ends, e => e.Name == (entry.To ?? adoption.Node));
            PeerLink? link = _topology.NumberOf(entry.From) is >= 0 and int from ? end?.Links[from] : null;
            if (Deliver(link, entry.From, entry.Sequence, entry.Origin, entry.Frames.Span))
            {
                again.Add((link!.Number, end!.Number, entry.Origin, entry.Sequence));
            }
        }

        foreach (HostedNode end in ends)
        {
            foreach (PeerLink there in Here(before, end))
            {
                PeerLink here = end.Links[there.End?.Number ?? _topology.Number]!;
                foreach (SentBatch batch in there.Out.Kept)
                {
                    if (Deliver(here, here.Name, batch.Sequence, batch.Origin, batch.Frames.Span))
                    {
                        again.Add((here.Number, end.Number, batch.Origin, batch.Sequence));
                    }
                }

                there.Out.Acknowledge(there.Out.Last);
            }
        }

        _trace.Adopted(
            _topology.NumberOf(adoption.Node), adoption.Node, saved?.Ordinal ?? 0, IndexBack(saved, line), again, ends.Select(end => end.Number));
        return again.Count;
    }

    // The index of a node that goes back to a checkpoint: one whose index rises without checkpoints has then reached the line, as its
    // host has.
    private static long IndexBack(ChannelState? saved, long line)
    {
        TProtocol protocol = TProtocol.From(saved?.Protocol ?? default);
        protocol.OnRollback(protocol, line);
        return protocol.Index;
    }

    // What the lost node had sent here.
    private long Give(AdoptedEnds host, HostedNode[] before)
    {
        long given = 0;
        foreach (HostedNode end in host.Ends)
        {
            foreach (PeerLink there in Here(before, end))
            {
                PeerLink here = end.Links[there.End?.Number ?? _topology.Number]!;
                foreach (SentBatch batch in here.Out.Kept)
                {
                    if (Deliver(there, there.Name, batch.Sequence, batch.Origin, batch.Frames.Span))
                    {
                        _trace.Delivered(
                            there.Number, there.End?.Number ?? _topology.Number, batch.Origin, batch.Sequence, _gate.Index, logged: true);
                        given++;
                    }
                }

                here.Out.Acknowledge(here.Out.Last);
            }
        }

        return given;
    }

    // A lost node's own channels, and those of nodes that it had the domains of.
    private sealed record AdoptedEnds(Adoption Adoption, ChannelState? State, HostedNode[] Ends);

    // The links to a lost node of this node and of those that it had the domains of before.
    private IEnumerable<PeerLink> Here(IEnumerable<HostedNode> before, HostedNode end) =>
        before.Select(hosted => hosted.Links[end.Number]).Prepend(_topology[end.Number]).OfType<PeerLink>();
}
