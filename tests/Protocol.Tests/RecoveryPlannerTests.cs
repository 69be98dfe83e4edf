using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>The planner of recoveries and the promise, by many small simulated clusters.</summary>
public sealed class RecoveryPlannerTests(ITestOutputHelper output)
{
    /// <summary>Enough for each broken rule below to be found several times over; a second on any machine.</summary>
    private const int Seeds = 20_000;

    [Fact]
    public void One_order_begins_in_an_incarnation_no_domain_runs_twice_and_there_is_always_a_way_out()
    {
        int ended = 0, begun = 0, replaced = 0, lost = 0;
        for (int seed = 0; seed < Seeds; seed++)
        {
            var run = new RecoverySimulation(seed);
            string? problem = run.Run(events: 60);
            if (problem is not null)
            {
                // The same seed is the same run.
                Assert.Equal(problem, new RecoverySimulation(seed) { Trace = output.WriteLine }.Run(events: 60));
            }

            Assert.True(problem is null, $"seed {seed}: {problem}");
            (ended, begun, replaced, lost) = (ended + run.Ended, begun + run.Begun, replaced + run.Replaced, lost + run.Lost);
        }

        output.WriteLine($"{begun} orders begun, {ended} led to their end, {replaced} parts in place of one begun, {lost} nodes lost");
        Assert.True(ended > Seeds / 10 && replaced > Seeds / 100 && lost > Seeds / 10);
    }

    [Fact]
    public void Orders_that_are_carried_out_without_a_promise_are_found() => AssertFound(seed => new RecoverySimulation(seed)
    {
        CarryOut = (records, order) => RecoveryPromises.OnCarryOut(
            records.Promised is null && order.Incarnation > records.Newest ? records with { Promised = order } : records, order, out _),
        Prepare = (_, _, _) => OrderVerdict.Promised,
    });

    [Fact]
    public void A_second_promise_for_one_incarnation_is_found() => AssertFound(seed => new RecoverySimulation(seed)
    {
        Prepare = (records, order, after) => RecoveryPromises.OnPrepare(
            records.Promised?.Incarnation == order.Incarnation ? records with { Promised = null } : records, order, after, out _),
    });

    [Fact]
    public void A_leader_that_knows_nothing_of_what_has_begun_is_found() => AssertFound(seed => new RecoverySimulation(seed)
    {
        Prepare = (records, order, after) => RecoveryPromises.OnPrepare(records, order, Math.Max(after, int.MaxValue), out _),
    });

    [Fact]
    public void An_incarnation_that_does_not_rise_above_one_that_has_begun_is_found() => AssertFound(seed => new RecoverySimulation(seed)
    {
        Planner = (cluster, wish) => ClusterRecoveryPlanner.Plan(cluster, wish) is RecoveryDecision.Lead { Resumed: false } lead
            ? lead with { Order = lead.Order with { Incarnation = cluster.Answering.Max(m => m.Records.Incarnation) + 1 } }
            : ClusterRecoveryPlanner.Plan(cluster, wish),
    });

    [Fact]
    public void Advice_names_the_command_for_each_state()
    {
        var done = RecoveryOrder.Of(4, 1, [new DomainMove("b", "c")]);
        var healthy = new MemberState { Name = "a", DurableIndex = 5 };
        var gone = new MemberState { Name = "b", Problem = "no connection" };
        var c = new MemberState { Name = "c", DurableIndex = 5 };
        Assert.Empty(Of(healthy, c));
        Assert.Contains("cluster recover --lost b'", Assert.Single(Of(healthy, gone, c)), StringComparison.Ordinal);
        Assert.Equal(
            "c lost what was on its way, and waits: 'xtlctl cluster recover'.", Assert.Single(Of(healthy, c with { AwaitsRecovery = true })));
        MemberState[] interrupted =
            [healthy with { Records = new(1, null, null, done) }, gone, c with { Records = new(0, null, done, null) }];
        Assert.Contains(Of(interrupted), next => next.EndsWith("end it with 'xtlctl cluster recover --lost b'.", StringComparison.Ordinal));
        MemberState[] ended = [healthy with { Records = new(1, null, null, done) }, gone, c with { Records = new(1, null, null, done) }];
        Assert.Contains("keep b in the file", Assert.Single(Of(ended)), StringComparison.Ordinal);
        Assert.Contains("take b out", Assert.Single(Of(ended[0], gone, ended[2] with { Settled = ["b"] })), StringComparison.Ordinal);

        // What is promised and has not begun changes nothing.
        Assert.Empty(Of(healthy with { Records = new(0, done, null, null) }, c));

        static IReadOnlyList<string> Of(params MemberState[] members) => ClusterRecoveryPlanner.Advice(new ClusterState(members));
    }

    [Fact]
    public void A_lost_node_of_which_no_checkpoint_is_known_needs_a_line_that_is_named()
    {
        // Its name was heard, and no index yet; its store may have checkpoints all the same.
        var cluster = new ClusterState(
        [
            new MemberState { Name = "a", DurableIndex = 7, Heard = new Dictionary<string, long> { ["b"] = 0 } },
            new MemberState { Name = "b", Problem = "no connection" },
        ]);
        Assert.Contains(
            "Name the line with --at", Assert.IsType<RecoveryDecision.Refused>(ClusterRecoveryPlanner.Plan(cluster, new RecoveryWish(["b"]))).Why,
            StringComparison.Ordinal);
        Assert.Equal(
            6, Assert.IsType<RecoveryDecision.Lead>(ClusterRecoveryPlanner.Plan(cluster, new RecoveryWish(["b"], At: 6))).Order.Line);
    }

    [Fact]
    public void A_line_that_is_named_is_not_above_what_a_failed_node_has_and_a_lost_one_s_store_decides_for_it()
    {
        var a = new MemberState { Name = "a", DurableIndex = 7, Heard = new Dictionary<string, long> { ["b"] = 3 } };
        var b = new MemberState { Name = "b", Problem = "no connection" };
        Assert.Equal((3, 2, 4), (Line(null, a, b), Line(2, a, b), Line(4, a, b)));
        MemberState silent = a with { Heard = new Dictionary<string, long>() };
        Assert.Equal((9, null), (Line(9, silent, b), Line(8, silent with { AwaitsRecovery = true }, b)));

        static long? Line(long? at, params MemberState[] members) =>
            (ClusterRecoveryPlanner.Plan(new ClusterState(members), new RecoveryWish(["b"], At: at)) as RecoveryDecision.Lead)?.Order.Line;
    }

    private static void AssertFound(Func<int, RecoverySimulation> make) =>
        Assert.Contains(Enumerable.Range(0, Seeds), seed => make(seed).Run(events: 60) is not null);
}
