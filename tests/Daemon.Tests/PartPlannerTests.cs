using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>A node's part of a recovery, from what it has found. The node is alpha; beta is lost where a test says so.</summary>
public sealed class PartPlannerTests
{
    private static readonly Guid A = Guid.Parse("00000000-0000-0000-0000-00000000000a");
    private static readonly Guid B = Guid.Parse("00000000-0000-0000-0000-00000000000b");
    private static readonly Guid X = Guid.Parse("00000000-0000-0000-0000-000000000001");

    private static readonly Past Alpha = new("alpha", (1, 2, [A, B]), (2, 4, [A, B]), (3, 6, [A, B]));
    private static readonly Past Beta = new("beta", (7, 3, [X]), (8, 5, [X]));

    private static RecoveryOrder ToAlpha => new(4, 1, [new DomainMove("beta", "alpha")]);

    [Fact]
    public void A_node_that_has_reached_the_line_goes_back_to_its_member() => Assert.Equivalent(
        new RollBackPart(new RecoveryOrder(3, 1, []), new LineMember(2, 4, [A, B]), 3), Plan(View(), new RecoveryOrder(3, 1, [])));

    [Fact]
    public void A_node_that_has_not_goes_on() => Assert.IsType<GoOnPart>(Plan(View(), new RecoveryOrder(7, 1, [])));

    [Fact]
    public void Domains_of_a_lost_node_come_to_the_place_that_the_order_says()
    {
        Assert.Equal([("beta", 8UL)], Plan(View(), ToAlpha).Adopted.Select(a => (a.Node, a.Epoch)));
        Assert.Equal([X], Plan(View(), ToAlpha).AdoptedDomains);
        Assert.Empty(Plan(View(), new RecoveryOrder(4, 1, [new DomainMove("beta", "gamma")])).Adopted);
    }

    [Theory]
    [InlineData(1, "LINE", "Node alpha has no checkpoint that the line 1 needs: older ones were removed. Name a later line: '--at 4'.")]
    [InlineData(7, "LINE", "Node alpha has no checkpoint that the line 7 needs: the latest that is there is of line 6. Name that one, '--at 6', or an earlier one.")]
    public void A_line_without_a_member_is_refused(long line, string reason, string why)
    {
        var pruned = new Past("alpha", (2, 4, [A]), (3, 6, [A]));
        PartView view = View() with { Own = pruned, Messages = new MessagesState(6, 0, AwaitsRecovery: true) };
        Assert.Equal(new PartRefusal(reason, why), Refusal(view, new RecoveryOrder(line, 1, [])));
    }

    [Fact]
    public void A_node_without_checkpoints_has_no_line() => Assert.Equal(
        new PartRefusal("LINE", "The lost node beta has no checkpoint that the line 4 needs: there is none at all."),
        Refusal(View() with { Lost = _ => new Past("beta") }, ToAlpha));

    [Fact]
    public void A_lost_node_without_a_member_is_named() => Assert.Equal(
        new PartRefusal("LINE", "The lost node beta has no checkpoint that the line 6 needs: the latest that is there is of line 5. Name that one, '--at 5', or an earlier one."),
        Refusal(View(), ToAlpha with { Line = 6 }));

    [Theory]
    [InlineData("alpha", true, "alpha", "name a later line with --at.")]
    [InlineData("alpha", false, "alpha", "recover with '--lost gamma --to alpha'.")]
    [InlineData("beta", true, "beta", "name a later line with --at.")]
    [InlineData("beta", false, "beta", "name a later line with --at.")]
    public void Domains_that_came_to_a_node_after_the_line_are_not_lost(string host, bool settled, string named, string advice)
    {
        var record = new NodeRecord { Departures = [new Departure("gamma", host, 0, Settled: settled)] };
        Assert.Equal(
            new PartRefusal("LINE", $"The domains of gamma came to {named} after its checkpoint of the line 4, and would be lost: {advice}"),
            Refusal(View() with { Record = record }, ToAlpha));

        // A later checkpoint may have them.
        Past with = (host == "alpha" ? Alpha : Beta) with { Hosts = ["gamma"], Since = host == "alpha" ? 3UL : 9, More = (9, 8, [X]) };
        PartRefusal later = Refusal(
            View() with { Record = record, Own = host == "alpha" ? with : Alpha, Lost = _ => host == "beta" ? with : Beta }, ToAlpha);
        Assert.EndsWith(
            host == "alpha" && !settled ? advice : $"name a later line: '--at {(host == "alpha" ? 6 : 8)}'.", later.Why, StringComparison.Ordinal);

        // They are brought up once more, or were there.
        Assert.NotNull(Plan(View() with { Record = record }, ToAlpha with { Moves = [.. ToAlpha.Moves, new DomainMove("gamma", "delta")] }));
        Assert.NotNull(Plan(
            View() with { Record = record, Own = Alpha with { Hosts = ["gamma"] }, Lost = _ => Beta with { Hosts = ["gamma"] } }, ToAlpha));
    }

    [Fact]
    public void Two_nodes_of_another_past_have_no_later_line()
    {
        var record = new NodeRecord { Incarnation = 2, Last = new LastRecovery(new RecoveryOrder(3, 2, []), []) };
        PartRefusal refusal = Refusal(View() with { Record = record }, ToAlpha with { Incarnation = 3 });
        Assert.Equal("LINE", refusal.Reason);
        Assert.Contains("'--at 3'", refusal.Why, StringComparison.Ordinal);
    }

    [Fact]
    public void A_domain_that_moved_here_since_the_line_is_named_and_does_not_run_twice()
    {
        PartRefusal refusal = Refusal(View() with { Here = [A, X] }, ToAlpha);
        Assert.Equal("DOMAIN", refusal.Reason);
        Assert.StartsWith($"Domain {X} is in the checkpoint of beta, and is on alpha now", refusal.Why, StringComparison.Ordinal);

        // A recovery that was done here before has brought it up.
        var record = new NodeRecord { Departures = [new Departure("beta", "alpha", 0)] };
        Assert.NotNull(Plan(View() with { Here = [A, X], Record = record, Own = Alpha with { Hosts = ["beta"] } }, ToAlpha));
    }

    [Fact]
    public void What_is_newer_than_the_line_is_named_and_goes_only_where_that_is_said()
    {
        var newer = Guid.NewGuid();
        PartView view = View() with { Here = [A, newer] };
        PartRefusal refusal = Refusal(view, new RecoveryOrder(3, 1, []));
        Assert.Equal("NEWER_DOMAIN", refusal.Reason);
        Assert.StartsWith($"{newer}: not in the checkpoint of the line 3", refusal.Why, StringComparison.Ordinal);
        var order = new RecoveryOrder(3, 1, [], DestroysNewer: true);
        Assert.Equal([newer], Assert.IsType<RollBackPart>(Plan(view, order)).Newer);

        // What no other node's guest can have spoken to stays, and so does all where the node goes on.
        Assert.Empty(Assert.IsType<RollBackPart>(Plan(view with { ReachesPeers = d => d == A }, new RecoveryOrder(3, 1, []))).Newer);
        Assert.IsType<GoOnPart>(Plan(view, new RecoveryOrder(7, 1, [])));
    }

    private static PartView View() => new(new NodeRecord(), new MessagesState(6, 0), Alpha, 3, [A, B])
    {
        Lost = node => node == "beta" ? Beta : throw new InvalidOperationException(node),
        ReachesPeers = _ => true,
        NameOf = d => $"{d}",
    };

    private static RecoveryPart Plan(PartView view, RecoveryOrder order)
    {
        Assert.True(PartPlanner.TryPlan(view, order, out RecoveryPart? part, out PartRefusal? refusal), refusal?.Why);
        return part;
    }

    private static PartRefusal Refusal(PartView view, RecoveryOrder order)
    {
        Assert.False(PartPlanner.TryPlan(view, order, out _, out PartRefusal? refusal));
        return refusal;
    }

    private sealed record Past(string Node, params (ulong Epoch, long Index, Guid[] Domains)[] Checkpoints) : INodePast
    {
        public IReadOnlyList<string> Hosts { get; init; } = [];

        public int Incarnation => 0;

        // The epoch from which on it has the domains of Hosts, and one checkpoint more.
        public ulong Since { get; init; }

        public (ulong Epoch, long Index, Guid[] Domains)? More { get; init; }

        public IReadOnlyList<CheckpointPoint> Points => [.. All.Select(c => new CheckpointPoint(c.Epoch, c.Index))];

        private IEnumerable<(ulong Epoch, long Index, Guid[] Domains)> All => More is { } more ? Checkpoints.Append(more) : Checkpoints;

        public IReadOnlyList<Guid> DomainsOf(ulong epoch) => All.Single(c => c.Epoch == epoch).Domains;

        public IReadOnlyList<string> LostIn(ulong epoch) => epoch >= Since ? Hosts : [];
    }
}
