namespace XenTwoLevelCkpt.Channels;

/// <content>A stop of the process while the guests run on.</content>
internal sealed partial class ChannelCore<TProtocol>
{
    /// <summary>The channels as they are, with all streams ended and the log on disk. What the gate holds is not settled: its senders keep
    /// it. A checkpoint that was asked for and not begun is asked for again by what waits for it.</summary>
    internal byte[] Park() => new ParkedChannels
    {
        Protocol = TProtocol.Traits.Name,
        Incarnation = _gate.Incarnation,
        RaiseTo = _raiseTo,
        State = new ChannelState
        {
            Protocol = _gate.Protocol.State,
            Ordinal = _history.Ordinal,
            Kind = default,
            Checkpoints = [.. _history.Reaching(_gate.Index)],
            Peers = [.. _topology.Links.Select(link => link.Note())],
            Uplink = [],
            Hosted = [.. _topology.Hosted.Select(hosted => hosted.Note(hosted.First))],
        },
    }.Encode();

    // Null where there is nothing parked, or what is parked is not of this node as it is now.
    private ParkedChannels? Parked(ReadOnlyMemory<byte>? octets)
    {
        if (octets is null)
        {
            return null;
        }

        ParkedChannels parked;
        try
        {
            parked = ParkedChannels.Decode(octets.Value);
        }
        catch (InvalidDataException e)
        {
            _events.NotTakenUp(e.Message);
            return null;
        }

        string? why = parked.Protocol != TProtocol.Traits.Name ? $"they are of the protocol '{parked.Protocol}'"
            : !parked.State.Peers.Select(peer => peer.Name).SequenceEqual(_topology.Links.Select(link => link.Name))
                ? "the cluster has other nodes now"
            : _log.Incarnation != parked.Incarnation
                ? $"they are of incarnation {parked.Incarnation}, and the channel log is of {_log.Incarnation}"
            : null;
        if (why is not null)
        {
            _events.NotTakenUp(why);
            return null;
        }

        return parked;
    }

    private void Unpark(ParkedChannels parked)
    {
        _history.Restore(parked.State);
        _raiseTo = parked.RaiseTo;
        for (int i = 0; i < _topology.Links.Count; i++)
        {
            _topology.Links[i].Restore(parked.State.Peers[i]);
        }

        _topology.Host(parked.State);
    }
}
