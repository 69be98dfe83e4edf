namespace XenTwoLevelCkpt.Channels;

/// <content>A stop of the process while the guests run on.</content>
internal sealed partial class NodeMessenger<TProtocol>
{
    // With all streams ended and the log on disk. What the gate holds is not settled: its senders keep it. A checkpoint that
    // was asked for and not begun is asked for again by what waits for it.
    private byte[] Park() => new ParkedChannels
    {
        Protocol = TProtocol.Traits.Name,
        Incarnation = _gate.Incarnation,
        RaiseTo = _raiseTo,
        State = new ChannelState
        {
            Protocol = _gate.Protocol.State,
            Ordinal = _ordinal,
            Kind = default,
            Checkpoints = [.. _taken[..^1], _taken[^1] with { Reach = _gate.Index }],
            Peers = Array.ConvertAll(_links, link => link.Note()),
            Uplink = [],
            Hosted = [.. _hosted.Select(hosted => hosted.Note(hosted.First))],
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
            : !parked.State.Peers.Select(peer => peer.Name).SequenceEqual(_links.Select(link => link.Name))
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
        _ordinal = parked.State.Ordinal;
        _taken.Clear();
        _taken.AddRange(parked.State.Checkpoints);
        _raiseTo = parked.RaiseTo;
        for (int i = 0; i < _links.Length; i++)
        {
            _links[i].Restore(parked.State.Peers[i]);
        }

        Host(parked.State);
    }
}
