using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>What a node decides about its part of a recovery.</summary>
public sealed class RecoveryChoicesTests
{
    // A recovery of incarnation 2 to line 5 has ended here.
    private static readonly NodeRecord Recovered = new() { Incarnation = 2, Last = new LastRecovery(new RecoveryOrder(5, 2, []), []) };

    [Fact]
    public void A_lost_node_of_the_same_incarnation_has_the_same_past() => Assert.Null(RecoveryChoices.Undone(Recovered, 2, 9));

    [Theory]
    [InlineData(6, 5L)]
    [InlineData(5, null)]
    [InlineData(3, null)]
    public void A_lost_node_that_missed_the_last_recovery_goes_back_to_its_line_at_most(long line, long? undone) =>
        Assert.Equal(undone, RecoveryChoices.Undone(Recovered, 1, line));

    [Theory]
    [InlineData(4, 3L)]
    [InlineData(3, null)]
    public void A_recovery_that_began_on_the_lost_node_alone_bounds_the_line_by_the_least_promise(long line, long? undone)
    {
        NodeRecord promised = Recovered.Promising(new RecoveryOrder(3, 3, [])).Promising(new RecoveryOrder(4, 4, []));
        Assert.Equal(undone, RecoveryChoices.Undone(promised, 3, line));
    }

    [Fact]
    public void A_recovery_that_nobody_here_promised_leaves_no_line() => Assert.Equal(0, RecoveryChoices.Undone(new NodeRecord(), 1, 1));

    [Fact]
    public void A_lost_node_whose_domains_go_to_another_place_keeps_the_place_of_before()
    {
        IReadOnlyList<Departure> first = RecoveryChoices.DeparturesWith([], new RecoveryOrder(3, 1, [new DomainMove("b", "a")]));
        IReadOnlyList<Departure> same = RecoveryChoices.DeparturesWith(first, new RecoveryOrder(3, 2, [new DomainMove("b", "a")]));
        Departure moved = Assert.Single(RecoveryChoices.DeparturesWith(same, new RecoveryOrder(3, 3, [new DomainMove("b", "c")])));
        Assert.Equal((null, "a", "a", "c"), (moved.HostIn(0), moved.HostIn(1), moved.HostIn(2), moved.HostIn(3)));
    }

    [Fact]
    public void A_record_without_earlier_places_is_read()
    {
        string folder = Directory.CreateTempSubdirectory("node-record-").FullName;
        try
        {
            NodeStateFile file = NodeStateFile.Open(folder);
            file.Write(new NodeRecord { Departures = [new Departure("b", "a", 1) { Earlier = [new Stay("c", 1)] }] });
            Assert.Equal(new Stay("c", 1), Assert.Single(NodeStateFile.Open(folder).State.Departures[0].Earlier));
            string path = Path.Combine(folder, "node.json");
            string text = File.ReadAllText(path);
            string old = Regex.Replace(text, ",\\s*\"[Ee]arlier\": *\\[[^]]*\\]", "");
            Assert.NotEqual(text, old);
            File.WriteAllText(path, old);
            Assert.Empty(NodeStateFile.Open(folder).State.Departures[0].Earlier);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_line_that_is_promised_may_still_come()
    {
        PeerStatus[] peers = [Heard("b", 4)];
        Assert.Equal(4, RecoveryChoices.LeastLine(Recovered, peers, 9));
        Assert.Equal(3, RecoveryChoices.LeastLine(Recovered.Promising(new RecoveryOrder(3, 3, [])), peers, 9));
        NodeRecord under = Recovered with { Pending = new PendingRecovery(new RecoveryOrder(2, 3, []), RollsBack: true) };
        Assert.Equal(2, RecoveryChoices.LeastLine(under, peers, 9));
    }

    // x was lost, and its domains came to b with a recovery of incarnation 2 to line 5; this is node a, and c is the third.
    [Fact]
    public void A_line_on_which_domains_came_may_still_come_until_all_have_on_disk_that_they_stay()
    {
        var order = new RecoveryOrder(5, 2, [new DomainMove("x", "b")]);
        var record = new NodeRecord { Incarnation = 2, Last = new LastRecovery(order, []), Departures = [new Departure("x", "b", 2)] };
        Assert.Null(RecoveryChoices.HeardSettled(record, "a", [Heard("x", 5), Heard("b", 9)]));
        Assert.Equal("x", RecoveryChoices.HeardSettled(record, "a", [Heard("x", 9), Heard("b", 9)]));
        Assert.Null(RecoveryChoices.HeardSettled(record, "b", [Heard("x", 9)]));

        PeerStatus[] peers = [Heard("x", 9), Heard("b", 9, settled: 2), Heard("c", 9, settled: 2)];
        Assert.Equal((0, 5), (RecoveryChoices.SettledIncarnation(record), RecoveryChoices.LeastLine(record, peers, 9)));
        NodeRecord settled = record with { Departures = [new Departure("x", "b", 2, Settled: true)] };
        Assert.Null(RecoveryChoices.HeardSettled(settled, "a", peers));
        Assert.Equal((2, 9), (RecoveryChoices.SettledIncarnation(settled), RecoveryChoices.LeastLine(settled, peers, 9)));
        Assert.Equal(5, RecoveryChoices.LeastLine(settled, [.. peers[..2], Heard("c", 9)], 9));
        Assert.Equal(9, RecoveryChoices.LeastLine(record, [], 9));
    }

    private static PeerStatus Heard(string name, long durable, int settled = 0) =>
        new(name, true, durable, durable, 2, null, 0, null) { SettledIncarnation = settled };

    [Theory]
    [InlineData(1, 2, false)]
    [InlineData(2, 4, true)]
    [InlineData(3, 6, true)]
    [InlineData(4, 8, true)]
    public void A_line_needs_what_is_behind_it_and_the_one_before(ulong epoch, long index, bool needed) => Assert.Equal(
        needed, RecoveryChoices.IsNeeded([new(1, 2), new(2, 4), new(3, 6), new(4, 8)], new(epoch, index), 5));

    [Fact]
    public void A_line_whose_member_was_removed_has_a_later_one()
    {
        CheckpointPoint[] left = [new(7, 12), new(8, 15)];
        Assert.Null(RecoveryChoices.Member(left, 9));
        Assert.Equal(12, RecoveryChoices.LaterLine(left, 9));
        Assert.Equal(0, RecoveryChoices.Member(left, 12));
        Assert.Null(RecoveryChoices.LaterLine(left, 16));
        Assert.Null(RecoveryChoices.LaterLine([], 1));
    }

    [Fact]
    public void A_checkpoint_is_the_member_of_all_lines_up_to_the_index_that_was_reached_before_the_next()
    {
        IReadOnlyList<CheckpointPoint> points = RecoveryChoices.PointsOf([(4, 3, null), (5, 7, new(3, 5)), (6, 8, null)]);
        Assert.Equal([0, 0, 0, 1, 1, 2], Enumerable.Range(3, 6).Select(line => RecoveryChoices.Member(points, line)));
        Assert.Null(RecoveryChoices.Member(points, 2));
        Assert.Null(RecoveryChoices.Member(points, 9));
        Assert.Equal([true, true, true], points.Select(p => RecoveryChoices.IsNeeded(points, p, 6)));
        Assert.Equal([false, true, true], points.Select(p => RecoveryChoices.IsNeeded(points, p, 8)));

        // Where the one before was removed, no line that it was the member of is another one's.
        Assert.Equal([null, null, 0], new[] { 5, 6, 7 }.Select(line => RecoveryChoices.Member([.. points.Skip(1)], line)));
    }

    // A recovery has gone back to the first one, and undone the second.
    [Fact]
    public void Of_several_that_followed_a_checkpoint_the_latest_tells_how_far_it_reached() => Assert.Equal(
        [6, 5, 7], RecoveryChoices.PointsOf([(1, 3, null), (2, 5, new(3, 4)), (3, 7, new(3, 6))]).Select(p => p.Reach));

    [Fact]
    public void What_is_undone_and_before_the_line_is_not_needed() => Assert.False(RecoveryChoices.IsNeeded([new(4, 8)], new(3, 2), 5));

    [Fact]
    public void A_recovery_that_is_under_way_counts_as_the_newest_one()
    {
        NodeRecord under = Recovered with { Pending = new PendingRecovery(new RecoveryOrder(4, 3, []), RollsBack: true) };
        Assert.Equal(4, RecoveryChoices.Undone(under, 2, 5));
        Assert.Null(RecoveryChoices.Undone(under, 2, 4));
    }
}
