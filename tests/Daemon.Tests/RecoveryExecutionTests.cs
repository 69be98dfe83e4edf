using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>The steps of a node's part of a recovery: their order, and that a part which is interrupted at any of them, in any way, ends
/// as one that is not. <see cref="RecoveryWorld"/> checks the rules at each effect.</summary>
public class RecoveryExecutionTests
{
    private static readonly DomainMove[] Moves = [new("beta", "alpha")];

    public static TheoryData<long, bool, bool> Parts => new()
    {
        { 2, false, true },
        { 2, true, true },
        { 7, false, true },
        { 7, true, true },
        { 7, false, false },
        { 7, true, false },
    };

    public static TheoryData<long, bool, bool, Interruption> Interruptions
    {
        get
        {
            var data = new TheoryData<long, bool, bool, Interruption>();
            foreach (var part in Parts.Select(p => p.Data))
            {
                foreach (Interruption how in Enum.GetValues<Interruption>())
                {
                    data.Add(part.Item1, part.Item2, part.Item3, how);
                }
            }

            return data;
        }
    }

    [Fact]
    public void A_node_goes_back_in_this_order()
    {
        RecoveryWorld world = Make();
        Assert.False(world.Ask(Order(2, adopts: true)));
        Assert.Equal(
            [
                "WriteRecord", "StopMessages", "CloseCheckpointer", "UndoLogs", "Destroy", "RemoveDiscarded", "Restore", "RollBackMessages",
                "AdoptDomains", "ComposeAnswer", "KeepRestored", "WriteRecord", "RemoveDiscarded", "WriteRecord", "TellDurable", "OpenCheckpointer",
                "LetRun", "WriteRecord", "StartMessages", "CheckpointSoon",
            ],
            Names(world));
        Assert.Equal(
            [RecoveryWorld.A, RecoveryWorld.B, RecoveryWorld.Newcomer, RecoveryWorld.X, RecoveryWorld.Y],
            world.Done.OfType<RecoveryEffect.Destroy>().Single().Domains);
        Assert.All(world.Done.OfType<RecoveryEffect.RemoveDiscarded>(), remove => Assert.Equal(new DiscardedEpochs(2, 3), remove.Epochs));
        Assert.Equal((1, 2L, 5L), (world.Disk.Incarnation, world.Disk.Index, world.Done.OfType<RecoveryEffect.ComposeAnswer>().Single().Delivered));
        Assert.Equal([new("beta", "alpha", 1)], world.Disk.Departures);
        Assert.Equal(4, world.Domains.Count);
        Assert.Equal([1UL, 2UL], world.Store.Keys);
    }

    [Fact]
    public void A_survivor_goes_on_in_this_order()
    {
        RecoveryWorld world = Make();
        Assert.False(world.Ask(Order(7, adopts: true)));
        Assert.Equal(
            [
                "WriteRecord", "StopMessages", "Survive", "TakeRaisingCheckpoint", "Destroy", "Restore", "AdoptDomains", "KeepRestored",
                "ResumeMessages", "LetRun", "ComposeAnswer", "WriteRecord", "StartMessages", "CheckpointSoon",
            ],
            Names(world));
        Assert.Equal([RecoveryWorld.X, RecoveryWorld.Y], world.Done.OfType<RecoveryEffect.Destroy>().Single().Domains);
        Assert.Equal((1, 7L, 3L), (world.Disk.Incarnation, world.Disk.Index, world.Done.OfType<RecoveryEffect.ComposeAnswer>().Single().Delivered));
        world = Make(raises: false);
        Assert.False(world.Ask(Order(7, adopts: false)));
        Assert.Equal(["WriteRecord", "StopMessages", "Survive", "ComposeAnswer", "WriteRecord", "StartMessages"], Names(world));
    }

    [Theory]
    [MemberData(nameof(Interruptions))]
    public void A_part_that_is_interrupted_anywhere_ends_the_same(long line, bool adopts, bool raises, Interruption how)
    {
        RecoveryOrder order = Order(line, adopts);
        RecoveryWorld whole = Make(raises, isAlone: true);
        Assert.False(whole.Ask(order));
        for (int at = 0; at < whole.Done.Count; at++)
        {
            RecoveryWorld world = Make(raises, isAlone: true);
            Assert.True(world.Ask(order, at, how));
            world.AssertReady();
            Assert.False(world.Ask(order));
            AssertSame(whole, world, at);
        }
    }

    [Theory]
    [MemberData(nameof(Parts))]
    public void A_node_that_is_ended_again_while_it_starts_ends_the_same(long line, bool adopts, bool raises)
    {
        RecoveryOrder order = Order(line, adopts);
        RecoveryWorld whole = Make(raises, isAlone: true);
        Assert.False(whole.Ask(order));
        for (int at = 0; at < whole.Done.Count; at++)
        {
            for (int again = 0; again < 7; again++)
            {
                RecoveryWorld world = Make(raises, isAlone: true);
                Assert.True(world.Ask(order, at, Interruption.EndsDone));
                world.Restart(again);
                Assert.False(world.Ask(order));
                AssertSame(whole, world, at);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Interruptions))]
    public void A_part_that_is_interrupted_at_two_of_its_effects_ends_the_same(long line, bool adopts, bool raises, Interruption how)
    {
        RecoveryOrder order = Order(line, adopts);
        RecoveryWorld whole = Make(raises, isAlone: true);
        Assert.False(whole.Ask(order));
        for (int at = 0; at < whole.Done.Count; at++)
        {
            for (int second = 0; second < whole.Done.Count; second++)
            {
                RecoveryWorld world = Make(raises, isAlone: true);
                Assert.True(world.Ask(order, at, how));
                _ = world.Ask(order, second, how == Interruption.Fails ? Interruption.Ends : Interruption.FailsDone);
                Assert.False(world.Ask(order));
                AssertSame(whole, world, at);
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_node_of_a_cluster_that_ends_while_it_goes_back_ends_the_same(bool adopts)
    {
        RecoveryOrder order = Order(2, adopts);
        RecoveryWorld whole = Make();
        Assert.False(whole.Ask(order));
        for (int at = 0; at < whole.Done.Count; at++)
        {
            foreach (Interruption how in Enum.GetValues<Interruption>())
            {
                RecoveryWorld world = Make();
                Assert.True(world.Ask(order, at, how));
                Assert.False(world.Ask(order));
                AssertSame(whole, world, at);
            }
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(7)]
    public void Another_order_takes_the_place_of_one_that_was_interrupted(long line)
    {
        foreach (Interruption how in Enum.GetValues<Interruption>())
        {
            for (int at = 0; at < 20; at++)
            {
                RecoveryWorld world = Make();
                _ = world.Ask(Order(line, adopts: true), at, how);
                RecoveryOrder second = RecoveryOrder.Of(2, 2, Moves, destroysNewer: true);
                Assert.False(world.Ask(second));
                Assert.Equal((2, second, null), (world.Disk.Incarnation, world.Disk.Last!.Order, world.Disk.Pending));
                Assert.Equal([1UL, 2UL], world.Store.Keys);
                Assert.Equal([2UL, 2UL, 7UL, 7UL], world.Domains.OrderBy(d => d.Key).Select(d => d.Value.Epoch));
                world.AssertReady();
            }
        }
    }

    [Fact]
    public void A_survivor_of_a_cluster_that_ends_behind_the_beginning_of_the_incarnation_is_lost_in_it()
    {
        RecoveryOrder order = Order(7, adopts: false);
        for (int at = 0; at < 5; at++)
        {
            RecoveryWorld world = Make();
            Assert.True(world.Ask(order, at, Interruption.EndsDone));
            Assert.Equal(at >= 2, RecoveryChoices.IsLostIn(world.Disk.Pending!, world.Messages));
            Assert.True(RecoveryChoices.RollsBack(world.Disk.Pending, order, world.Messages));
        }
    }

    [Fact]
    public void Checkpoints_that_cannot_be_removed_yet_stay_discarded_until_they_are()
    {
        RecoveryWorld world = Make();
        world.Held = 3;
        Assert.False(world.Ask(Order(2, adopts: false)));
        Assert.Equal(new DiscardedEpochs(2, 3), world.Disk.Discarded);
        world.Restart();
        Assert.Equal(new DiscardedEpochs(2, 3), world.Disk.Discarded);
        world.Held = null;
        world.Restart();
        Assert.Null(world.Disk.Discarded);
        Assert.Equal([1UL, 2UL], world.Store.Keys);
    }

    [Fact]
    public void An_outcome_of_another_effect_is_refused()
    {
        RecoveryExecution step = RecoveryExecution.Begin(new NodeRecord(), new GoOnPart(Order(7, false)), new MessagesState(3, 0));
        Assert.Equal("outcome", Assert.Throws<ArgumentException>(() => step.After(new EffectOutcome.Removed(true))).ParamName);
    }

    [Theory]
    [InlineData(3, 3, 1, false, true)]
    [InlineData(2, 3, 1, false, false)]
    [InlineData(2, 3, 1, true, true)]
    public void Who_has_reached_the_line_or_lost_its_state_goes_back(long index, long line, int incarnation, bool awaits, bool goesBack) =>
        Assert.Equal(goesBack, RecoveryChoices.RollsBack(null, RecoveryOrder.Of(line, incarnation, []), new MessagesState(index, 0, awaits)));

    [Fact]
    public void What_was_begun_stays_what_it_was()
    {
        RecoveryOrder order = Order(3, false);
        Assert.False(RecoveryChoices.RollsBack(new PendingRecovery(order, false), order, new MessagesState(3, 1)));
        Assert.True(RecoveryChoices.RollsBack(new PendingRecovery(order, false), order, new MessagesState(3, 1, AwaitsRecovery: true)));
        Assert.True(RecoveryChoices.RollsBack(new PendingRecovery(order, true), Order(7, false), new MessagesState(3, 0)));
    }

    [Fact]
    public void Lost_nodes_of_before_stay_lost()
    {
        RecoveryOrder order = RecoveryOrder.Of(2, 5, [new("beta", "alpha"), new("gamma", "delta")]);
        IReadOnlyList<Departure> lost = RecoveryChoices.DeparturesWith(
            [new("beta", "alpha", 3, true), new("gamma", "alpha", 2), new("epsilon", "alpha", 1, true)], order);
        Assert.Equal(
            [("epsilon", "alpha", 1, true), ("beta", "alpha", 3, false), ("gamma", "delta", 5, false)],
            lost.Select(d => (d.Node, d.Host, d.Incarnation, d.Settled)));
        Assert.Equal([[], [], [new Stay("alpha", 2)]], lost.Select(d => d.Earlier));
        Assert.Equal(["epsilon"], RecoveryChoices.Hosted([new("beta", "alpha", 3), new("epsilon", "alpha", 1)], "alpha", order).Select(d => d.Node));
        Assert.Equal("epsilon", RecoveryChoices.CameSince([new("epsilon", "alpha", 1)], ["beta"])?.Node);
        Assert.Null(RecoveryChoices.CameSince([new("epsilon", "alpha", 1)], ["epsilon"]));
        Assert.True(RecoveryChoices.IsFirst(new NodeRecord(), Moves[0]));
        Assert.False(RecoveryChoices.IsFirst(new NodeRecord { Departures = [new("beta", "alpha", 3)] }, Moves[0]));
        Assert.False(RecoveryChoices.IsFirst(new NodeRecord { Pending = new PendingRecovery(Order(2, true), false) }, Moves[0]));
    }

    private static RecoveryWorld Make(bool raises = true, bool isAlone = false) => new RecoveryWorld { Raises = raises, IsAlone = isAlone }.Started();

    private static RecoveryOrder Order(long line, bool adopts) => RecoveryOrder.Of(line, 1, adopts ? Moves : [], destroysNewer: true);

    private static IEnumerable<string> Names(RecoveryWorld world) => world.Done.Select(e => e.GetType().Name);

    private static void AssertSame(RecoveryWorld whole, RecoveryWorld world, int at)
    {
        world.AssertReady();
        Assert.True(whole.Record.Equals(world.Record, StringComparison.Ordinal), $"interrupted at {at}, {whole.Done[at]}: {world.Record}");
        Assert.Equal(whole.Store, world.Store);
        Assert.Equal((whole.Messages.Index, whole.Messages.Incarnation), (world.Messages.Index, world.Messages.Incarnation));
    }
}
