using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Daemon.Checkpoints;
using Xunit;
using Action = XenTwoLevelCkpt.Daemon.Checkpoints.SchedulerAction<string>;
using Scheduler = XenTwoLevelCkpt.Daemon.Checkpoints.CheckpointScheduler<string>;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>Which checkpoint comes next.</summary>
public class CheckpointSchedulerTests
{
    private static readonly BegunCheckpoint Forced = new(4, CheckpointCause.Forced, new ForcingMessage("beta", 4));
    private static readonly BegunCheckpoint Requested = new(5, CheckpointCause.Requested, null);

    [Fact]
    public void A_node_that_nobody_asks_waits_for_its_timers()
    {
        Scheduler none = new();
        Assert.Equal(new Action.Wait(null), none.Next(At(7)));
        Assert.Equal(new Action.Wait(At(3)), none.BasicIsAt(At(10)).Next(At(7)));
        Assert.Equal(new Action.Wait(At(2)), none.BasicIsAt(At(10)).GivenUp(At(9)).Next(At(7)));
        Assert.Equal(new Action.Wait(At(3)), none.BasicIsAt(At(10)).GivenUp(At(19)).Next(At(7)));
        Assert.Equal(TimeSpan.Zero, none.GivenUp(At(3)).Left(At(7)));
    }

    [Fact]
    public void An_order_travels_with_the_checkpoint_that_begins_for_it()
    {
        Scheduler asked = new Scheduler().Ordered("one").Ordered("two");
        Assert.Equal(new Action.Ask("one"), asked.Next(At(0)));

        // The messages tell of it before they answer, or after that.
        Assert.Equal(new Action.Take(Requested, "one"), asked.Begins(Requested).Answered("one", begins: true).Next(At(0)));
        Scheduler answered = asked.Answered("one", begins: true);
        Assert.Equal(new Action.Wait(null), answered.GivenUp(At(0)).Next(At(0)));
        Assert.Equal(new Action.Take(Requested, "one"), answered.Begins(Requested).Next(At(0)));
        Scheduler taking = answered.Begins(Requested).Taking();
        Assert.Equal(new Action.Ask("two"), taking.Next(At(0)));
        Assert.Equal(["two"], taking.Orders);
    }

    [Fact]
    public void An_order_waits_for_a_checkpoint_of_another_cause_and_is_refused_where_none_begins()
    {
        Scheduler asked = new Scheduler().Ordered("one");
        Scheduler first = asked.Begins(Forced).Answered("one", begins: false);
        Assert.Equal(new Action.Take(Forced, null), first.Next(At(0)));
        Assert.Equal(new Action.Ask("one"), first.Taking().Next(At(0)));
        Assert.Equal(new Action.Wait(null), asked.Answered("one", begins: false).Next(At(0)));
    }

    [Fact]
    public void What_is_given_up_is_not_asked_for()
    {
        Scheduler asked = new Scheduler().Ordered("one").Ordered("two");
        Assert.Equal(new Action.Ask("two"), asked.Withdrawn("one").Next(At(0)));
        Assert.Equal(new Action.Wait(null), asked.Answered("one", begins: true).Emptied().Next(At(0)));
        Assert.Equal(new Action.Ask("one"), asked.Answered("one", begins: true).Begins(Requested).GivenUpBegun().Next(At(0)));
    }

    [Fact]
    public void Orders_come_before_batches_that_wait_and_these_before_the_timer()
    {
        Scheduler all = new Scheduler().BasicIsAt(At(1)).GivenUp(At(1)).Ordered("one");
        Assert.Equal(new Action.Ask("one"), all.Next(At(1)));
        all = all.Withdrawn("one");
        Assert.Equal(new Action.Retry(), all.Next(At(1)));
        all = all.Retried();
        Assert.Equal(new Action.Tick(), all.Next(At(1)));
        Assert.Equal(new Action.Wait(At(8)), all.BasicIsAt(At(9)).Next(At(1)));
    }

    [Fact]
    public void A_forced_checkpoint_that_fails_is_tried_again_later_and_later()
    {
        Scheduler failed = new Scheduler().Failed(CheckpointCause.Forced, At(10));
        Assert.Equal((At(11), At(2)), (failed.RetryAt, failed.RetryDelay));
        for (int i = 0; i < 9; i++)
        {
            failed = failed.Failed(CheckpointCause.Forced, At(20));
        }

        Assert.Equal((At(80), At(60)), (failed.RetryAt, failed.RetryDelay));
        Assert.Equal(At(1), failed.Saved().RetryDelay);

        // One that failed for another reason asks once more, and no later than what waits.
        Assert.Equal(At(11), new Scheduler().Failed(CheckpointCause.Basic, At(10)).RetryAt);
        Assert.Equal((At(80), At(60)), (failed.Failed(CheckpointCause.Requested, At(30)).RetryAt, failed.Failed(CheckpointCause.Requested, At(30)).RetryDelay));
    }

    [Theory]
    [InlineData(0.0, 75)]
    [InlineData(0.5, 100)]
    [InlineData(1.0, 125)]
    public void The_timer_fires_about_its_mean(double draw, int at) =>
        Assert.Equal((At(at + 7), null), (Scheduler.NextBasic(At(7), At(100), 0.25, draw), Scheduler.NextBasic(At(7), null, 0.25, draw)));

    private static TimeSpan At(int seconds) => TimeSpan.FromSeconds(seconds);
}
