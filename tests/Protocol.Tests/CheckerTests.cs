using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>The checker against definitions, and against runs that are wrong.</summary>
public class CheckerTests
{
    private static readonly CheckOptions ShowAll = new() { FindingsShown = int.MaxValue };

    [Theory]
    [InlineData("uncoordinated")]
    [InlineData("bcs")]
    [InlineData("hmnr")]
    public void Useless_are_those_on_Z_cycles_and_those_in_no_consistent_line(string protocol)
    {
        int seen = 0;
        Prop.ForAll(Properties.Schedules(nodes: 3, steps: 50), schedule =>
        {
            Outcome run = RunUse.Run(protocol, schedule);
            var useless = run.Check(ShowAll).UselessShown.Select(item => (item.Node, item.Ordinal)).Order().ToList();
            Assert.Equal(Reference.OnZCycles(run).Order(), useless);
            Assert.Equal(Reference.InNoLine(run).Order(), useless);
            seen += useless.Count;
        }).Check(Properties.Quiet.WithMaxTest(200));
        Assert.Equal(protocol == "uncoordinated", seen > 0);
    }

    [Theory]
    [InlineData("uncoordinated")]
    [InlineData("bcs")]
    [InlineData("fdas")]
    public void What_is_not_trackable_is_what_no_causal_path_shows(string protocol)
    {
        long seen = 0;
        Prop.ForAll(Properties.Schedules(nodes: 3, steps: 60), schedule =>
        {
            Outcome run = RunUse.Run(protocol, schedule);
            long untrackable = run.Check().Untrackable!.Value;
            Assert.Equal(Reference.Untrackable(run), untrackable);
            seen += untrackable;
        }).Check(Properties.Quiet.WithMaxTest(200));
        Assert.Equal(protocol != "fdas", seen > 0);
    }

    [Theory]
    [InlineData("uncoordinated")]
    [InlineData("bcs")]
    [InlineData("bcs-aftersend")]
    [InlineData("bqf")]
    public void A_small_window_judges_as_a_large_one_does(string protocol) => Prop.ForAll(
        Properties.Schedules(nodes: 4, steps: 400), schedule =>
            AssertWindowsAgree(RunUse.Run(protocol, schedule))).Check(Properties.Quiet.WithMaxTest(100));

    [Fact]
    public void A_small_window_judges_a_broken_run_as_a_large_one_does() => Prop.ForAll(
        Properties.Schedules(nodes: 4, steps: 400), schedule =>
        {
            AssertWindowsAgree(Host<DeafBcs, long>.Run(schedule));
            AssertWindowsAgree(Host<CarelessAftersend, long>.Run(schedule));
        }).Check(Properties.Quiet.WithMaxTest(300));

    [Theory]
    [InlineData("bcs")]
    [InlineData("bcs-aftersend")]
    [InlineData("fdas")]
    public void A_small_window_judges_a_run_with_failures_alike_or_asks_for_a_larger_one(string protocol)
    {
        int judged = 0, refused = 0;
        Prop.ForAll(Properties.Schedules(nodes: 3, steps: 300), schedule =>
        {
            Outcome run = RunUse.Run(protocol, schedule, failures: true);
            try
            {
                AssertWindowsAgree(run);
                judged += run.Recoveries > 0 ? 1 : 0;
            }
            catch (ImpossibleEventException e)
            {
                Assert.EndsWith("where it was judged for good; check with a larger window", e.Message, StringComparison.Ordinal);
                refused++;
            }
        }).Check(Properties.Quiet.WithMaxTest(200));
        Assert.True(judged > 10 && refused > 10, $"{judged} judged, {refused} refused");
    }

    [Fact]
    public void The_given_line_is_judged_message_by_message() => Prop.ForAll(
        Properties.Schedules(nodes: 3, steps: 80).Generator.SelectMany(
            _ => Gen.Choose(0, 1 << 20), (schedule, pick) => (schedule, pick)).ToArbitrary(),
        c =>
        {
            Outcome run = RunUse.Run("uncoordinated", c.schedule);
            long[] line = [.. run.Checkpoints.Select((checkpoints, i) => (long)((c.pick >> (6 * i)) % checkpoints.Count))];
            foreach (int window in new[] { 1, 1000 })
            {
                CheckReport report = run.Check(new CheckOptions { Line = line, Window = window });
                Assert.Equal(Reference.Orphans(run, line) > 0, report.Counts.ContainsKey(FindingKind.Orphan));
            }
        }).Check(Properties.Quiet.WithMaxTest(200));

    [Fact]
    public void Orphans_over_the_lines_of_broken_protocols_are_found_and_clocks_confirm_them()
    {
        AssertOrphansFound<DeafBcs>();
        AssertOrphansFound<CarelessAftersend>();
    }

    [Fact]
    public void Controls_in_the_manner_of_FINE_are_caught()
    {
        AssertCaught<FineLike<WithoutCycleTest>, HmnrPiggyback>("without the cycle test");
        AssertCaught<FineLike<WithoutClockTest>, HmnrPiggyback>("without the clock test");
        AssertCaught<FineLike<BothAtOnce>, HmnrPiggyback>("both tests at once");
        AssertCaught<LazyFineLike, LazyFineLike.Stamp>("lazy");
    }

    // Whichever term over the control structures a condition in the manner of FINE adds: all of them are wrong.
    [Fact]
    public void Every_single_term_added_to_the_fully_informed_condition_is_caught()
    {
        AssertTermCaught<MessageTaken>();
        AssertTermCaught<MessageNotTaken>();
        AssertTermCaught<OwnTaken>();
        AssertTermCaught<OwnNotTaken>();
        AssertTermCaught<OwnGreater>();
        AssertTermCaught<OwnNotGreater>();
        AssertTermCaught<NewerCheckpoint>();
        AssertTermCaught<NotOlderCheckpoint>();
        AssertTermCaught<SameCheckpoint>();
        AssertTermCaught<NotNewerCheckpoint>();
        AssertTermCaught<OlderCheckpoint>();
    }

    [Fact]
    public void A_crossing_message_that_was_not_logged_is_found() => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run("bcs", schedule);
        FamilyTests.AssertSound(run.Check());
        for (int i = 0; i < run.Events.Count; i++)
        {
            TraceEvent item = run.Events[i];
            if (item.Kind == TraceEventKind.ReceiveLogged)
            {
                run.Events[i] = item with { Kind = TraceEventKind.Receive };
                Assert.Equal(1, run.Check().Counts[FindingKind.NotLogged]);
                run.Events[i] = item;
            }
        }
    }).Check(Properties.Quiet.WithMaxTest(30));

    [Fact]
    public void Where_the_index_rises_after_a_delivery_that_delivery_crosses_too()
    {
        // m arrives with an equal index; the index then reaches 1 without a checkpoint, so that the initial checkpoint
        // of node 0 is in L_1, behind the delivery. Node 1 is in L_1 with a checkpoint after the sending.
        TraceEvent[] Events(bool logged) =>
        [
            TraceEvent.Send(1, 0, 0, 0),
            TraceEvent.Receive(0, 0, 0, logged),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1),
            TraceEvent.Send(1, 0, 1, 1),
            TraceEvent.Receive(0, 1, 1, logged: true),
        ];
        TraceHeader header = TraceHeader.For(BcsAftersend.Traits, 2, channelLogs: true);
        Assert.True(Judge(header, Events(true)).Sound);
        Assert.Equal(1, Judge(header, Events(false)).Counts[FindingKind.NotLogged]);
    }

    [Fact]
    public void An_index_that_rises_at_a_send_rises_before_it()
    {
        // Node 0 reaches 2 without a checkpoint, so that its first one is in L_2, before the sending.
        TraceHeader header = TraceHeader.For(BcsAftersend.Traits, 2);
        TraceEvent[] events =
        [
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1),
            TraceEvent.Send(0, 1, 0, 2),
        ];
        Assert.Equal(1, Judge(header, [.. events, TraceEvent.Receive(1, 0, 1)]).Counts[FindingKind.Orphan]);
        Assert.True(Judge(header, [.. events, TraceEvent.Receive(1, 0, 2)]).Sound);
    }

    [Fact]
    public void The_domino_effect_goes_back_to_the_beginning()
    {
        List<TraceEvent> events = [];
        for (int round = 0; round < 5; round++)
        {
            for (int node = 0; node < 2; node++)
            {
                long message = (2 * round) + node;
                events.Add(TraceEvent.Send(node, 1 - node, message, 0));
                events.Add(TraceEvent.Receive(1 - node, message, 0));
                events.Add(TraceEvent.Checkpoint(TraceEventKind.Basic, 1 - node, round + 1));
            }
        }

        // Of each checkpoint of node 1, and of all of node 0 but the last, some message was sent after it that the other
        // one's next checkpoint has and that one's last message does not.
        CheckReport report = Judge(TraceHeader.For(Uncoordinated.Traits, 2), [.. events]);
        Assert.Equal([0, 0], report.GreatestLine);
        Assert.Equal(2, report.DominoNodes);
        Assert.Equal((5, 5.0), (report.RollbackDistanceMax, report.RollbackDistanceMean));
        Assert.Equal(2, report.SingleFailureNodesMax);
        Assert.Equal(9, report.Useless);
    }

    [Fact]
    public void What_recoveries_leave_behind_is_found()
    {
        TraceHeader header = TraceHeader.For(Uncoordinated.Traits, 2, rollbacks: true);
        TraceEvent send = TraceEvent.Send(0, 1, 7, 0), receive = TraceEvent.Receive(1, 7, 0);
        TraceEvent back0 = TraceEvent.Rollback(0, 0, 0), back1 = TraceEvent.Rollback(1, 0, 0);
        Assert.Equal([FindingKind.OrphanAfterRecovery], Judge(header, send, receive, back0).Counts.Keys);
        Assert.Equal([FindingKind.NotReplayed], Judge(header, send, receive, back1).Counts.Keys);
        Assert.Equal([FindingKind.Ghost, FindingKind.OrphanAfterRecovery], Judge(header, send, back0, receive).Counts.Keys);
        Assert.Equal([FindingKind.Duplicate], Judge(header, send, receive, receive).Counts.Keys);
        Assert.Equal([FindingKind.ActsAfterFailure], Judge(header, TraceEvent.Failure(0), send).Counts.Keys);
        Assert.True(Judge(header, send, receive, back1, receive).Sound);
        Assert.True(Judge(header, send, receive, back0, back1).Sound);
        Assert.True(Judge(header, send, receive, back1, TraceEvent.Lost(1, 7)).Sound);
        Assert.True(Judge(header, TraceEvent.Failure(0), back0, send).Sound);
    }

    [Fact]
    public void What_was_sent_to_a_lost_node_may_be_delivered_where_its_domains_are()
    {
        TraceHeader header = TraceHeader.For(Uncoordinated.Traits, 3, rollbacks: true);
        TraceEvent send = TraceEvent.Send(0, 1, 7, 0), there = TraceEvent.Receive(1, 7, 0), here = TraceEvent.Receive(2, 7, 0);
        TraceEvent gone = TraceEvent.Failure(1), back = TraceEvent.Rollback(1, 0, 0), adoption = TraceEvent.Adoption(2, 1);
        CheckReport report = Judge(header, send, there, gone, back, adoption, here);
        Assert.True(report.Sound);
        Assert.Equal(0, report.InFlight);
        Assert.Equal(1, Judge(header, send, gone, back, adoption).InFlight);
        Assert.Equal([FindingKind.NotReplayed], Judge(header, send, there, gone, back, adoption).Counts.Keys);
        Assert.Equal([FindingKind.Duplicate], Judge(header, send, gone, back, there, adoption, here).Counts.Keys);
        Assert.Equal([FindingKind.Duplicate], Judge(header, send, gone, back, adoption, here, here).Counts.Keys);
        Assert.True(Judge(header, send, gone, back, adoption, here, TraceEvent.Rollback(2, 0, 0), here).Sound);
        Assert.Throws<ImpossibleEventException>(() => Judge(header, send, gone, back, here));
        Assert.Throws<ImpossibleEventException>(
            () => Judge(header, send, TraceEvent.Adoption(0, 1), here));
    }

    [Fact]
    public void What_cannot_happen_is_refused()
    {
        TraceHeader header = TraceHeader.For(Uncoordinated.Traits, 2);
        Refused("message 7 is delivered, and was not sent before or was delivered already", TraceEvent.Receive(1, 7, 0));
        Refused("message 7 to node 1 is delivered at node 0", TraceEvent.Send(0, 1, 7, 0), TraceEvent.Receive(0, 7, 0));
        Refused("message 7 is sent a second time; each needs a number of its own", TraceEvent.Send(0, 1, 7, 0), TraceEvent.Send(0, 1, 7, 0));
        Refused("a rollback in a trace whose header announces none", TraceEvent.Rollback(0, 0, 0));
        Refused("node 2 of a run that has 2", TraceEvent.Failure(2));
        header = header with { Rollbacks = true };
        Refused("node 0 rolls back to checkpoint 1; its last one is 0", TraceEvent.Rollback(0, 1, 0));

        void Refused(string message, params TraceEvent[] events) =>
            Assert.Equal(message, Assert.Throws<ImpossibleEventException>(() => Judge(header, events)).Message);
    }

    private static CheckReport Judge(TraceHeader header, params TraceEvent[] events)
    {
        TraceChecker checker = new(header);
        foreach (TraceEvent item in events)
        {
            checker.Add(item);
        }

        return checker.Complete();
    }

    private static void AssertTermCaught<TTerm>()
        where TTerm : ITerm => AssertCaught<FineLike<With<TTerm>>, HmnrPiggyback>(typeof(TTerm).Name);

    private static void AssertCaught<TProtocol, TPiggyback>(string what)
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        // The rarest of the controls shows in one run of some two hundred.
        const int Runs = 4000;
        int caught = 0;
        Prop.ForAll(Properties.Schedules(), schedule =>
        {
            Outcome run = Host<TProtocol, TPiggyback>.Run(schedule);
            CheckReport report = run.Check(ShowAll);
            Assert.Equal(report.Useless > 0, report.Counts.ContainsKey(FindingKind.Useless));
            Assert.Equal(Reference.OnZCycles(run).Order(), report.UselessShown.Select(item => (item.Node, item.Ordinal)).Order());
            caught += report.Sound ? 0 : 1;
        }).Check(Properties.Quiet.WithMaxTest(Runs));
        Assert.True(caught > 0, $"no run of {Runs} was found wrong: {what}");
        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {caught} of {Runs} runs found wrong");
    }

    private static void AssertOrphansFound<TProtocol>()
        where TProtocol : struct, IProtocol<TProtocol, long>
    {
        int found = 0;
        Prop.ForAll(Properties.Schedules(), schedule =>
        {
            Outcome run = Host<TProtocol, long>.Run(schedule);
            bool complete = false, any = false;
            for (long k = 0; k <= run.Indices.Max(); k++)
            {
                bool orphans = Reference.Orphans(run, RecoveryLine.Find(run.Header.Line, k, run.Checkpoints, [])) > 0;
                any |= orphans;
                complete |= orphans && k <= run.Indices.Min();
            }

            CheckReport report = run.Check();
            Assert.Equal(any, report.Counts.ContainsKey(FindingKind.Orphan));
            Assert.Equal(complete, report.Counts.ContainsKey(FindingKind.ClocksDisagree));
            found += complete ? 1 : 0;
        }).Check(Properties.Quiet.WithMaxTest(200));
        Assert.True(found > 10, $"{found} runs of 200 had an orphan over a complete line");
    }

    private static void AssertWindowsAgree(Outcome run)
    {
        CheckReport large = run.Check(ShowAll);
        CheckReport small = run.Check(ShowAll with { Window = 1 });
        Assert.Equal(large.Useless, small.Useless);
        Assert.Equal(large.UselessShown.OrderBy(item => (item.Node, item.Ordinal)), small.UselessShown.OrderBy(item => (item.Node, item.Ordinal)));
        Assert.Equal(large.GreatestLine, small.GreatestLine);
        Assert.Equal(large.InFlight, small.InFlight);
        Assert.Equal(large.Counts.Keys.Where(kind => kind != FindingKind.ClocksDisagree).Order(), small.Counts.Keys.Where(kind => kind != FindingKind.ClocksDisagree).Order());
        Assert.Equal(large.Counts.GetValueOrDefault(FindingKind.Orphan), small.Counts.GetValueOrDefault(FindingKind.Orphan));
        Assert.Equal(large.Counts.GetValueOrDefault(FindingKind.NotLogged), small.Counts.GetValueOrDefault(FindingKind.NotLogged));
    }
}
