using Microsoft.Extensions.Logging.Abstractions;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>What the channels' core says of a lost node whose domains come to it.</summary>
public sealed class AdoptionTests : IDisposable
{
    private const long Label = 12;
    private const long Line = 13;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("adoption-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_lost_node_whose_index_rises_without_a_checkpoint_has_reached_the_line() => Assert.Equal(Line, Adopt<BcsAftersend>());

    [Fact]
    public void A_lost_node_that_reaches_lines_by_checkpoints_has_the_index_of_its_own() => Assert.Equal(Label, Adopt<Bcs>());

    // The index that the trace gets for the lost node.
    private long Adopt<TProtocol>()
        where TProtocol : struct, IScalarProtocol<TProtocol>
    {
        var options = new NodeMessengerOptions
        {
            Cluster = Guid.NewGuid(),
            Node = "a",
            Peers = [new PeerAddress("b", "b", 1)],
            LogDirectory = Path.Combine(_folder.FullName, "a"),
        };
        var trace = new Recorder();
        using var uplink = new GuestNetworkUplink();
        using ChannelLog log = ChannelLog.Open(options.LogDirectory);
        var core = new ChannelCore<TProtocol>(options, new ChannelParts(
            new Topology(options), uplink, log, trace, new Nothing(), new ChannelEventLog(NullLogger.Instance), TimeProvider.System));
        core.Start();
        core.Quiesce();
        _ = core.Survive(Line, 1, [new Departure("b", "a", 1)], adopts: true);
        _ = core.Adopt(
            [new Adoption("b", default, Path.Combine(_folder.FullName, "b"), [Guid.NewGuid()])],
            [new ChannelState { Protocol = new ScalarState(Label, 0), Ordinal = 1, Kind = TraceEventKind.Basic, Checkpoints = [], Peers = [], Uplink = [] }],
            Line);
        return trace.Adopted;
    }

    private sealed class Recorder : INodeTrace
    {
        internal long Adopted { get; private set; }

        public void Begin()
        {
        }

        public void Sent(int to, in SentBatch batch)
        {
        }

        public void Delivered(int from, int to, int origin, long sequence, long index, bool logged)
        {
        }

        public void Saved(TraceEventKind kind, long label)
        {
        }

        public void Failed()
        {
        }

        public void Raised(long index)
        {
        }

        public void RolledBack(ChannelState? state, long index)
        {
        }

        void INodeTrace.Adopted(
            int node, string name, long ordinal, long index,
            IEnumerable<(int From, int To, int Origin, long Sequence)> again, IEnumerable<int> ends) => Adopted = index;

        public void Flush()
        {
        }
    }

    private sealed class Nothing : IChannelEffects
    {
        public void Deliver(ReadOnlySpan<byte> frame, int? sender, Audience? audience)
        {
        }

        public void Begin(BegunCheckpoint checkpoint)
        {
        }

        public void RoomMade()
        {
        }

        public void GateMoved()
        {
        }

        public void ForgetAddresses(int number)
        {
        }

        public void HostedChanged()
        {
        }
    }
}
