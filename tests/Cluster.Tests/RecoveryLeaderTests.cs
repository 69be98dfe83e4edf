using Grpc.Core;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Cluster.Tests;

public sealed class RecoveryLeaderTests
{
    private readonly FakeNode[] _nodes = [new("a"), new("b"), new("c")];

    public RecoveryLeaderTests()
    {
        // c has gone ahead; a lags behind.
        (_nodes[0].Index, _nodes[0].Durable) = (3, 3);
        (_nodes[1].Index, _nodes[1].Durable) = (5, 4);
        (_nodes[2].Index, _nodes[2].Durable) = (6, 6);
        _nodes[0].Heard["b"] = 2;
        _nodes[2].Heard["b"] = 4;
    }

    private RecoveryLeader Leader => new(_nodes);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task All_go_back_to_the_latest_line_that_all_have()
    {
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([]), Token);
        Assert.Equal((3, 1, (string?)null), (plan.Order.Line, plan.Order.Incarnation, PlaceOf(plan)));
        Assert.False(plan.IsNeeded);
        Assert.All(_nodes, node => Assert.Equal(0, node.Incarnation));
        _ = await Leader.CarryOutAsync(plan, null, Token);
        Assert.All(_nodes, node => Assert.Equal((1, 3L), (node.Incarnation, node.Index)));
        Assert.All(_nodes, node => Assert.Equal([3L], node.WentBackTo));
    }

    [Fact]
    public async Task A_lost_nodes_line_is_the_durable_index_that_any_other_has_heard_of_it()
    {
        _nodes[1].Dead = true;
        _nodes[2].Domains = 1;
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish(["b"]), Token);
        Assert.Equal((4, "c"), (plan.Order.Line, PlaceOf(plan)));
        Assert.True(plan.IsNeeded);
        ClusterRecovery done = await Leader.CarryOutAsync(plan, null, Token);
        Assert.Equal(["b"], _nodes[2].Adopted);
        Assert.Empty(_nodes[0].Adopted);
        Assert.Equal([("b", "c")], _nodes[0].Departed);
        Assert.Empty(_nodes[2].Departed);
        Assert.Equal(
            [("a", RecoverAction.Checkpoint), ("c", RecoverAction.RollBack)], done.Steps.Select(s => (s.Node, s.Response.Action)));
    }

    [Fact]
    public async Task Nobody_goes_back_further_than_those_that_failed()
    {
        // a, which lags behind, has not failed: it takes a checkpoint.
        _nodes[1].Awaits = true;
        ClusterRecovery done = await RunAsync(new RecoveryWish([]));
        Assert.Equal(4, done.Order.Line);
        Assert.Equal(
            [RecoverAction.Checkpoint, RecoverAction.RollBack, RecoverAction.RollBack], done.Steps.Select(s => s.Response.Action));
        Assert.All(_nodes, node => Assert.False(node.Awaits));
    }

    [Fact]
    public async Task A_node_that_failed_beside_the_lost_one_goes_back_too_and_one_that_fails_later_does_not_bring_its_past_back()
    {
        _nodes[1].Dead = true;
        (_nodes[0].Awaits, _nodes[0].Domains) = (true, 1);
        ClusterRecovery both = await RunAsync(new RecoveryWish(["b"]));
        Assert.Equal((3, false), (both.Order.Line, both.Done));
        string host = PlaceOf(both)!, other = host == "a" ? "c" : "a";
        FakeNode failed = _nodes.First(n => n.Name == other);
        var rest = new RecoveryLeader([_nodes[0], _nodes[2]]);

        // No checkpoint has its domains on their new node yet: they come from its own once more.
        failed.Awaits = true;
        Assert.Contains($"--lost b --to {host}", (await Assert.ThrowsAsync<ClusterRecoveryException>(
            () => rest.PlanAsync(new RecoveryWish([]), Token))).Message, StringComparison.Ordinal);
        await RefusedAsync(new RecoveryWish(["b"], other), $"--to {host}");
        ClusterRecovery again = await RunAsync(new RecoveryWish(["b"]));
        Assert.Equal((3, 2, host, false), (again.Order.Line, again.Order.Incarnation, PlaceOf(again), again.Done));

        // A later line need not have them, either, as long as their host does not say so.
        foreach (FakeNode node in new[] { _nodes[0], _nodes[2] })
        {
            (node.Index, node.Durable) = (5, 5);
        }

        failed.Awaits = true;
        Assert.Contains($"--lost b --to {host}", (await Assert.ThrowsAsync<ClusterRecoveryException>(
            () => rest.PlanAsync(new RecoveryWish([]), Token))).Message, StringComparison.Ordinal);
        ClusterRecovery third = await Leader.PlanAsync(new RecoveryWish(["b"]), Token);
        Assert.Equal((3, 3, host, false), (third.Order.Line, third.Order.Incarnation, PlaceOf(third), third.Done));

        // Now all have.
        _nodes.First(n => n.Name == host).Settled = true;
        await RefusedAsync(new RecoveryWish(["b"]), "Take b out");
        ClusterRecovery later = await rest.PlanAsync(new RecoveryWish([]), Token);
        Assert.Equal((5, 3), (later.Order.Line, later.Order.Incarnation));
    }

    [Fact]
    public async Task Where_several_failed_the_one_that_is_furthest_back_decides()
    {
        _nodes[1].Awaits = _nodes[2].Awaits = true;
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([]), Token);
        Assert.Equal((4L, 4L, 6L), (plan.Order.Line, _nodes[1].Durable, _nodes[2].Durable));
    }

    [Fact]
    public async Task One_in_place_of_another_that_no_node_has_begun_is_newer_all_the_same()
    {
        // All have it on disk, and none has gone back yet.
        foreach (FakeNode node in _nodes)
        {
            node.Cut = at => _ = at == "recorded" ? throw new StatusException(StatusCode.Unavailable, "cut off") : 0;
        }

        _ = await Assert.ThrowsAnyAsync<Exception>(() => RunAsync(new RecoveryWish([])));
        Assert.All(_nodes, node => Assert.Equal((0, 1), (node.Incarnation, node.Records.Begun!.Incarnation)));

        _nodes[1].Dead = true;
        ClusterRecovery instead = await Leader.PlanAsync(new RecoveryWish(["b"]), Token);
        Assert.Equal(2, instead.Order.Incarnation);
    }

    [Fact]
    public async Task A_node_that_starts_is_waited_for_before_the_line_is_chosen()
    {
        FakeNode late = _nodes[2];
        (late.Awaits, late.Starts) = (true, 3);
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([]), Token);
        Assert.Equal(late.Durable, plan.Order.Line);
        Assert.True(plan.IsNeeded);
        late.Starts = int.MaxValue;
        var hasty = new RecoveryLeader(_nodes) { Patience = TimeSpan.FromMilliseconds(1) };
        Assert.Contains("node c is still starting", (await Assert.ThrowsAsync<ClusterRecoveryException>(
            () => hasty.PlanAsync(new RecoveryWish([]), Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_same_wish_again_changes_nothing()
    {
        _nodes[1].Dead = true;
        await RunAsync(new RecoveryWish(["b"], "a"));
        ClusterRecovery again = await RunAsync(new RecoveryWish(["b"]));
        Assert.True(again.Done);
        Assert.Equal((4, 1, "a"), (again.Order.Line, again.Order.Incarnation, PlaceOf(again)));
        Assert.All([_nodes[0], _nodes[2]], node => Assert.Equal(1, node.Incarnation));
        Assert.Equal(["b"], _nodes[0].Adopted);
    }

    [Fact]
    public async Task One_that_was_cut_off_anywhere_and_is_led_again_ends_the_same()
    {
        foreach (int node in new[] { 0, 2 })
        {
            foreach (string where in new[] { "preparing", "promised", "before", "recorded", "done" })
            {
                var nodes = new FakeNode[] { new("a") { Index = 3, Durable = 3 }, new("b") { Dead = true }, new("c") { Index = 6, Durable = 6 } };
                nodes[0].Heard["b"] = 4;
                nodes[node].Cut = at =>
                {
                    if (at == where)
                    {
                        nodes[node].Cut = null;
                        throw new StatusException(StatusCode.Unavailable, "cut off");
                    }
                };
                var leader = new RecoveryLeader(nodes);
                var wish = new RecoveryWish(["b"], "a");
                ClusterRecovery plan = await leader.PlanAsync(wish, Token);
                await Assert.ThrowsAsync<ClusterRecoveryException>(() => leader.CarryOutAsync(plan, null, Token));

                // Whoever asks next knows nothing of the first attempt, and lets the adopter be found.
                leader = new RecoveryLeader(nodes);
                wish = nodes.All(n => n.Records.Newest == 0) ? wish : wish with { To = null };
                plan = await leader.PlanAsync(wish, Token);
                _ = await leader.CarryOutAsync(plan, null, Token);

                // What was promised and has not begun is not gone on with: nobody can have done any of it.
                Assert.Equal((4, where is "preparing" or "promised" ? 2 : 1), (plan.Order.Line, plan.Order.Incarnation));
                Assert.All([nodes[0], nodes[2]], n => Assert.Equal((plan.Order.Incarnation, 4L, true), (n.Incarnation, n.Index, n.Records.Begun is null)));
                Assert.Equal(["b"], nodes[0].Adopted);
                Assert.Empty(nodes[2].Adopted);
            }
        }
    }

    [Fact]
    public async Task A_node_that_is_lost_in_the_middle_of_a_recovery_is_recovered_with_another_one()
    {
        FakeNode lost = _nodes[1];
        lost.Cut = WhenItCarriesOut;
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([]), Token);
        Assert.Equal(3, plan.Order.Line);
        await Assert.ThrowsAsync<ClusterRecoveryException>(() => Leader.CarryOutAsync(plan, null, Token));
        lost.Dead = true;
        await RefusedAsync(new RecoveryWish([]), "name it with --lost");

        // The same where another one has not done its part, either.
        _nodes[2].Records = _nodes[2].Records with { Begun = _nodes[2].Records.Last, Last = null };
        await RefusedAsync(new RecoveryWish(["b"], "a", 4), "0 to 3");
        ClusterRecovery done = await RunAsync(new RecoveryWish(["b"], "a"));
        Assert.Equal((3, 2, "a", false), (done.Order.Line, done.Order.Incarnation, PlaceOf(done), done.Resumed));
        Assert.Equal(["b"], _nodes[0].Adopted);
        Assert.All([_nodes[0], _nodes[2]], n => Assert.Equal((2, 3L, true), (n.Incarnation, n.Index, n.Records.Begun is null)));
    }

    [Fact]
    public async Task Another_wish_waits_until_one_that_was_interrupted_is_ended()
    {
        _nodes[1].Dead = true;
        _nodes[2].Cut = WhenItCarriesOut;
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish(["b"], "a"), Token);
        await Assert.ThrowsAsync<ClusterRecoveryException>(() => Leader.CarryOutAsync(plan, null, Token));
        _nodes[2].Cut = null;
        await RefusedAsync(new RecoveryWish(["b"], "a", 2), "xtlctl cluster recover --lost b");
    }

    [Fact]
    public async Task What_cannot_be_is_refused_before_anything_changes()
    {
        await RefusedAsync(new RecoveryWish(["x"]), "no node 'x'");
        await RefusedAsync(new RecoveryWish(["b"]), "would run twice");
        await RefusedAsync(new RecoveryWish([], "a"), "--to names another node");
        await RefusedAsync(new RecoveryWish([], At: 4), "0 to 3");
        _nodes[1].Dead = true;
        await RefusedAsync(new RecoveryWish([]), "name it with --lost");
        await RefusedAsync(new RecoveryWish(["b"], "b"), "--to names another node");
        _nodes[0].Heard.Clear();
        _nodes[2].Heard.Clear();
        await RefusedAsync(new RecoveryWish(["b"]), "Name the line with --at");
        Assert.Equal(2, (await Leader.PlanAsync(new RecoveryWish(["b"], At: 2), Token)).Order.Line);
        Assert.All(_nodes, node => Assert.Equal(new RecoveryRecords(0, null, null, null), node.Records));
    }

    [Fact]
    public async Task Nothing_changes_where_one_node_cannot_do_its_part()
    {
        _nodes[1].CannotDo = "an image is damaged";
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([]), Token);
        ClusterRecoveryException e = await Assert.ThrowsAsync<ClusterRecoveryException>(() => Leader.CarryOutAsync(plan, null, Token));
        Assert.Contains("Node b cannot take part: an image is damaged Nothing has changed.", e.Message, StringComparison.Ordinal);
        Assert.All(_nodes, node => Assert.Empty(node.WentBackTo));
        Assert.All(_nodes, node => Assert.Equal((0, (RecoveryOrder?)null), (node.Incarnation, node.Records.Begun)));

        // Another line may be chosen.
        _nodes[1].CannotDo = null;
        ClusterRecovery lower = await RunAsync(new RecoveryWish([], At: 2));
        Assert.Equal((2, 2), (lower.Order.Line, lower.Order.Incarnation));
    }

    [Fact]
    public async Task Of_two_leaders_one_brings_the_guests_up()
    {
        _nodes[1].Dead = true;
        ClusterRecovery first = await Leader.PlanAsync(new RecoveryWish(["b"], "a"), Token);
        ClusterRecovery second = await Leader.PlanAsync(new RecoveryWish(["b"], "c"), Token);
        _ = await Leader.CarryOutAsync(first, null, Token);
        Assert.Contains("Nothing has changed", (await Assert.ThrowsAsync<ClusterRecoveryException>(
            () => Leader.CarryOutAsync(second, null, Token))).Message, StringComparison.Ordinal);
        Assert.Equal(["b"], _nodes[0].Adopted);
        Assert.Empty(_nodes[2].Adopted);

        // Who plans again learns what was done.
        Assert.True((await RunAsync(new RecoveryWish(["b"]))).Done);
    }

    [Fact]
    public async Task Two_hosts_that_are_lost_together_come_up_on_a_third()
    {
        _nodes[0].Heard["c"] = 6;
        (_nodes[1].Dead, _nodes[2].Dead) = (true, true);
        await RefusedAsync(new RecoveryWish(["b"]), "name it with --lost");
        ClusterRecovery done = await RunAsync(new RecoveryWish(["b", "c"]));
        Assert.Equal(
            RecoveryOrder.Of(2, 1, [new DomainMove("c", "a"), new DomainMove("b", "a")]), done.Order);
        Assert.Equal(["b", "c"], _nodes[0].Adopted);
    }

    [Fact]
    public async Task A_domain_that_moved_since_the_line_does_not_run_twice()
    {
        var moved = new RestoredDomain { Uuid = $"{Guid.NewGuid()}", Name = "web" };
        _nodes[1].Restores.Add(moved);
        _nodes[0].Stays.Add(moved);
        await RefusedAsync(new RecoveryWish([], At: 3), "Domain web is in the checkpoint of b, and on a now. It moved after this line");
        _nodes[0].Stays.Clear();
        _nodes[2].Restores.Add(moved);
        await RefusedAsync(new RecoveryWish([], At: 3), "Domain web is in the checkpoints of b and of c.");
        _nodes[2].Restores.Clear();

        // It moves after the plan.
        ClusterRecovery plan = await Leader.PlanAsync(new RecoveryWish([], At: 3), Token);
        _nodes[0].Stays.Add(moved);
        await Assert.ThrowsAsync<ClusterRecoveryException>(() => Leader.CarryOutAsync(plan, null, Token));
        Assert.All(_nodes, node => Assert.Empty(node.WentBackTo));
    }

    private static string? PlaceOf(ClusterRecovery plan) => plan.Order.Moves is [{ } move, ..] ? move.To : null;

    private static void WhenItCarriesOut(string at)
    {
        if (at is not ("preparing" or "promised"))
        {
            throw new StatusException(StatusCode.Unavailable, "cut off " + at);
        }
    }

    private async Task RefusedAsync(RecoveryWish wish, string says)
    {
        ClusterRecoveryException e = await Assert.ThrowsAsync<ClusterRecoveryException>(() => Leader.PlanAsync(wish, Token));
        Assert.Contains(says, e.Message, StringComparison.Ordinal);
    }

    private async Task<ClusterRecovery> RunAsync(RecoveryWish wish) =>
        await Leader.CarryOutAsync(await Leader.PlanAsync(wish, Token), null, Token);
}
