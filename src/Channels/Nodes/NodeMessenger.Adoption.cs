namespace XenTwoLevelCkpt.Channels;

/// <content>The guests of lost nodes come here: what was on its way to and from them is handed over.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    public override long Adopt(IReadOnlyList<Adoption> adoptions, long line)
    {
        ArgumentNullException.ThrowIfNull(adoptions);
        ChannelState?[] saved = [.. adoptions.Select(a => a.State.IsEmpty ? null : ChannelState.Decode(a.State))];
        long delivered;
        lock (_collecting)
        {
            lock (_pump)
            {
                lock (_lock)
                {
                    if (!_awaitsAdoption)
                    {
                        throw new InvalidOperationException("RollBack or Survive comes first, and says that domains come here.");
                    }

                    delivered = Adopt(adoptions, saved, line);
                    _awaitsAdoption = false;
                }
            }
        }

        return delivered;
    }

    // Under all locks. Nothing runs that could send or take: what was on its way is handed over in the order in which it was sent.
    private long Adopt(IReadOnlyList<Adoption> adoptions, ChannelState?[] saved, long line)
    {
        if (adoptions.FirstOrDefault(a => NumberOf(a.Node) is var n && (n < 0 || n == _number || HostOf(a.Node) != _options.Node)) is { } strange)
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
        HostedNode[] before = [.. _hosted.Where(h => !all.Any(end => end.Name == h.Name))];
        Host([.. before, .. all]);
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
        delivered += Replay(_log.Replay(line, _ordinal));
        for (int i = 0; i < hosts.Count; i++)
        {
            delivered += Give(hosts[i], [.. before, .. hosts.Take(i).SelectMany(h => h.Ends)]);
        }

        foreach (AdoptedEnds host in hosts)
        {
            _uplink.Join(host.Adoption.Domains);
        }

        Rewire();
        Reckon();
        return delivered;
    }

    private HostedNode[] EndsOf(Adoption adoption, ChannelState? saved, long line, string[] names) =>
    [
        new(new HostedState(
                adoption.Node, _options.Node, _departures[adoption.Node].Incarnation, line, 0, [.. adoption.Domains],
                saved?.Peers ?? []),
            NumberOf(adoption.Node), _names),
        .. (saved?.Hosted ?? []).Where(state => NumberOf(state.Name) >= 0 && !names.Contains(state.Name))
            .Select(state => new HostedNode(state with { Line = line, First = 0 }, NumberOf(state.Name), _names)),
    ];

    // What the lost node had taken, and what had been sent to it from here. Its own trace tells of these.
    private int Receive(AdoptedEnds host, HostedNode[] before, long line)
    {
        (Adoption adoption, ChannelState? saved, HostedNode[] ends) = host;
        var again = new List<(int From, int To, int Origin, long Sequence)>();
        foreach (LoggedBatch entry in ChannelLog.ReplayLost(adoption.LogDirectory, line, saved?.Ordinal ?? 0))
        {
            HostedNode? end = Array.Find(ends, e => e.Name == (entry.To ?? adoption.Node));
            PeerLink? link = NumberOf(entry.From) is >= 0 and int from ? end?.Links[from] : null;
            if (Deliver(link, entry.From, entry.Sequence, entry.Origin, entry.Frames.Span))
            {
                again.Add((link!.Number, end!.Number, entry.Origin, entry.Sequence));
            }
        }

        foreach (HostedNode end in ends)
        {
            foreach (PeerLink there in Here(before, end))
            {
                PeerLink here = end.Links[there.End?.Number ?? _number]!;
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
            NumberOf(adoption.Node), adoption.Node, saved?.Ordinal ?? 0, saved?.Protocol.Index ?? 0, again, ends.Select(end => end.Number));
        return again.Count;
    }

    // What the lost node had sent here.
    private long Give(AdoptedEnds host, HostedNode[] before)
    {
        long given = 0;
        foreach (HostedNode end in host.Ends)
        {
            foreach (PeerLink there in Here(before, end))
            {
                PeerLink here = end.Links[there.End?.Number ?? _number]!;
                foreach (SentBatch batch in here.Out.Kept)
                {
                    if (Deliver(there, there.Name, batch.Sequence, batch.Origin, batch.Frames.Span))
                    {
                        _trace.Delivered(
                            there.Number, there.End?.Number ?? _number, batch.Origin, batch.Sequence, _gate.Index, logged: true);
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
        before.Select(hosted => hosted.Links[end.Number]).Prepend(_byNumber[end.Number]).OfType<PeerLink>();

    // The next batch of a channel goes to the guests at once.
    private bool Deliver(PeerLink? link, string from, long sequence, int origin, ReadOnlySpan<byte> frames)
    {
        if (link is null || sequence > link.In.Expected)
        {
            _events.NotReplayed(from, link is null
                ? "there is no such node any more"
                : $"batch {link.In.Expected} comes next, and it goes on with {sequence}");
            return false;
        }

        if (!link.In.Accept(sequence))
        {
            return false;
        }

        Hand(link, frames, AudienceOf(link.End, origin));
        link.In.Settle(sequence);
        return true;
    }
}
