using System.Numerics;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>What a checkpoint keeps of the channels.</summary>
public sealed class StateTests
{
    private static readonly ChannelState State = new()
    {
        Protocol = new ScalarState(7, 3),
        Ordinal = 5,
        Kind = TraceEventKind.Forced,
        Checkpoints = [new(4, 6), new(7, 7)],
        Peers =
        [
            new PeerState("anna", 3, [new SentBatch(4, 5, new byte[] { 1, 2 }, 1), new SentBatch(5, 6, new byte[] { 3 }, 2)], 9),
            new PeerState("zoë", 0, [], 0),
        ],
        Uplink = [8, 9],
        Hosted =
        [
            new HostedState(
                "otto", "anna", 2, 6, 7, [new Guid(1, 2, 3, new byte[8])],
                [new PeerState("anna", 1, [new SentBatch(2, 3, new byte[] { 4 }, 1)], 5)]),
        ],
    };

    [Fact]
    public void What_was_noted_is_read()
    {
        ChannelState read = ChannelState.Decode(State.Encode());
        Assert.Equal((State.Protocol, State.Ordinal, State.Kind), (read.Protocol, read.Ordinal, read.Kind));
        Assert.Equal(State.Checkpoints, read.Checkpoints);
        Assert.Equal(State.Uplink, read.Uplink);
        Assert.Equal(["anna", "zoë"], read.Peers.Select(peer => peer.Name));
        Assert.Equal((3, 9), (read.Peers[0].Acknowledged, read.Peers[0].Delivered));
        Assert.Equal(
            [(4, 5, 1), (5, 6, 2)], read.Peers[0].Kept.Select(batch => (batch.Sequence, batch.Index, batch.Origin)));
        Assert.Equal([1, 2], read.Peers[0].Kept[0].Frames.ToArray());
        HostedState hosted = Assert.Single(read.Hosted), wrote = State.Hosted[0];
        Assert.Equal(
            (wrote.Name, wrote.Host, wrote.Incarnation, wrote.Line, wrote.First),
            (hosted.Name, hosted.Host, hosted.Incarnation, hosted.Line, hosted.First));
        Assert.Equal(wrote.Domains, hosted.Domains);
        PeerState peer = Assert.Single(hosted.Peers);
        Assert.Equal(("anna", 1, 5), (peer.Name, peer.Acknowledged, peer.Delivered));
        Assert.Equal([4], Assert.Single(peer.Kept).Frames.ToArray());
    }

    [Fact]
    public void A_state_of_the_time_before_lost_nodes_is_read()
    {
        // Version 1 ends behind the uplink's part.
        byte[] octets = (State with { Hosted = [] }).Encode()[..^(2 * sizeof(uint))];
        octets[8] = 1;
        byte[] old = [.. octets, .. Checksum(octets)];
        ChannelState read = ChannelState.Decode(old);
        Assert.Empty(read.Hosted);
        Assert.Equal(State.Uplink, read.Uplink);
        octets[8] = 3;
        Assert.Throws<InvalidDataException>(
            () => ChannelState.Decode((byte[])[.. octets, .. Checksum(octets)]));
    }

    private static byte[] Checksum(byte[] octets) =>
        BitConverter.GetBytes(~octets.Aggregate(uint.MaxValue, BitOperations.Crc32C));

    [Fact]
    public void What_is_cut_or_changed_is_refused()
    {
        byte[] octets = State.Encode();
        for (int at = 0; at < octets.Length; at++)
        {
            Assert.Throws<InvalidDataException>(() => ChannelState.Decode(octets.AsMemory(0, at)));
            byte[] changed = [.. octets];
            changed[at] ^= 4;
            Assert.Throws<InvalidDataException>(() => ChannelState.Decode(changed));
        }
    }

    [Fact]
    public void A_window_goes_on_where_it_was_noted()
    {
        var window = new SendWindow(10, 3, State.Peers[0].Kept);
        Assert.Equal((5, 3, 3), (window.Last, window.Acknowledged, window.Bytes));
        Assert.Equal(6, window.Add(9, new byte[7]).Sequence);
        Assert.Throws<InvalidOperationException>(() => window.Add(9, new byte[1]));
        Assert.Equal(7, window.Add(9, new byte[1], beyond: true).Sequence);
        Assert.Equal([5, 6, 7], window.Resume(5).Select(batch => batch.Sequence));
        Assert.Throws<ArgumentException>(() => new SendWindow(10, 2, State.Peers[0].Kept));
    }

    [Fact]
    public void The_protocols_go_on_where_they_were_noted()
    {
        Same<Bcs>();
        Same<BcsAftersend>();
        Same<LazyBcs>();
        Same<ManivannanSinghal>();
    }

    // From its stored state a protocol behaves as the one of which it was taken, whatever happened before.
    private static void Same<TProtocol>()
        where TProtocol : struct, IScalarProtocol<TProtocol>
    {
        var random = new Random(5);
        for (int round = 0; round < 200; round++)
        {
            TProtocol first = TProtocol.Create(0, 2);
            for (int i = random.Next(20); i > 0; i--)
            {
                _ = Step(ref first, random.Next(4), random.Next(8));
            }

            TProtocol second = TProtocol.From(first.State);
            for (int i = 0; i < 20; i++)
            {
                (int what, int number) = (random.Next(4), random.Next(12));
                Assert.Equal(Step(ref first, what, number), Step(ref second, what, number));
                Assert.Equal(first.State, second.State);
            }
        }
    }

    private static string Step<TProtocol>(ref TProtocol protocol, int what, int number)
        where TProtocol : struct, IScalarProtocol<TProtocol>
    {
        string said = what switch
        {
            0 => $"{protocol.OnTick()}",
            1 => $"{protocol.OnSend(1, out long index)} {index}",
            2 => $"{protocol.OnRaise(number)}",
            _ => $"{protocol.OnReceive(1, number)}",
        };
        long label = protocol.PendingLabel;
        if (label != 0)
        {
            Assert.Equal(label, protocol.Save().State.Index);
            _ = protocol.OnCheckpointDone();
        }

        return $"{said} {label} {protocol.Index}";
    }
}
