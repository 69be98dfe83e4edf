using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Which guest is asked when. Times are in milliseconds.</summary>
public sealed class SuspendScheduleTests
{
    private static readonly TimeSpan Limit = Ms(1000);

    [Fact]
    public void Guests_that_nobody_knows_as_slow_are_asked_together()
    {
        var schedule = new SuspendSchedule([false, false], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [0, 1]);
        schedule.Down(0, Ms(10));
        AssertStep(schedule.Next(Ms(10)));
        schedule.Down(1, Ms(20));
        AssertStep(schedule.Next(Ms(20)), complete: true);
    }

    [Fact]
    public void A_slow_guest_is_asked_first_and_the_others_run_until_it_is_suspended()
    {
        var schedule = new SuspendSchedule([false, true, false], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [1]);
        AssertStep(schedule.Next(Ms(15_000)));
        schedule.Down(1, Ms(15_000));
        AssertStep(schedule.Next(Ms(15_000)), ask: [0, 2]);
        Assert.Equal(Ms(15_000), schedule.LastAsked);
    }

    [Fact]
    public void The_others_are_asked_when_a_slow_one_has_failed()
    {
        var schedule = new SuspendSchedule([true, false], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [0]);
        schedule.Fail(0);
        AssertStep(schedule.Next(Ms(30_000)), ask: [1]);
        schedule.Down(1, Ms(30_010));
        AssertStep(schedule.Next(Ms(30_010)), complete: true);
    }

    [Fact]
    public void Who_has_waited_for_the_limit_runs_again_until_the_slow_one_is_suspended()
    {
        var schedule = new SuspendSchedule([false, false, false], Limit);
        _ = schedule.Next(Ms(0));
        schedule.Down(0, Ms(10));
        schedule.Down(2, Ms(400));
        AssertStep(schedule.Next(Ms(1009)));
        AssertStep(schedule.Next(Ms(1010)), resume: [0, 2]);
        Assert.True(schedule.IsSlow(1));
        AssertStep(schedule.Next(Ms(9000)));
        schedule.Down(1, Ms(9000));
        AssertStep(schedule.Next(Ms(9000)), ask: [0, 2]);

        // The slow one waits for the others from their request on; should they be slow now, it has to suspend once more, too.
        AssertStep(schedule.Next(Ms(9999)));
        AssertStep(schedule.Next(Ms(10_000)), resume: [1], ask: [1]);
    }

    [Fact]
    public void One_that_runs_again_can_turn_out_slow_itself_and_every_schedule_ends()
    {
        var random = new Random(4711);
        for (int round = 0; round < 2000; round++)
        {
            Play(random);
        }
    }

    // Guests that answer after any time, or never. Whoever is resumed has waited for the limit; nobody who is quick waits
    // longer than that; in the end each is suspended or has failed.
    private static void Play(Random random)
    {
        int count = random.Next(1, 6);
        int[] takes = [.. Enumerable.Range(0, count).Select(_ => random.Next(4) switch { 0 => 5000 + random.Next(9000), 1 => -1, _ => random.Next(900) })];
        var schedule = new SuspendSchedule([.. takes.Select(_ => random.Next(4) == 0)], Limit);
        int?[] asked = new int?[count], down = new int?[count];
        bool[] failed = new bool[count];
        for (int now = 0, steps = 0; ; now += 50)
        {
            Assert.True(++steps < 10_000, "The schedule does not end.");
            for (int i = 0; i < count; i++)
            {
                if (asked[i] is { } at && down[i] is null && !failed[i] && now - at >= (takes[i] < 0 ? 10_000 : takes[i]))
                {
                    (failed[i], down[i]) = takes[i] < 0 ? (true, null) : (false, (int?)now);
                    if (failed[i])
                    {
                        schedule.Fail(i);
                    }
                    else
                    {
                        schedule.Down(i, Ms(now));
                    }
                }
            }

            SuspendStep step = schedule.Next(Ms(now));
            foreach (int guest in step.Resume)
            {
                Assert.NotNull(down[guest]);
                (asked[guest], down[guest]) = (null, null);
            }

            foreach (int guest in step.Ask)
            {
                Assert.Null(asked[guest]);
                asked[guest] = now;
            }

            for (int i = 0; i < count; i++)
            {
                Assert.True(
                    schedule.IsSlow(i) || down[i] is not { } since || now - since < 1000 + 50,
                    "A quick guest stands still beyond the limit.");
            }

            if (step.IsComplete)
            {
                Assert.All(Enumerable.Range(0, count), i => Assert.True(failed[i] || down[i] is not null));
                return;
            }
        }
    }

    private static void AssertStep(SuspendStep step, int[]? resume = null, int[]? ask = null, bool complete = false)
    {
        Assert.Equal(resume ?? [], step.Resume);
        Assert.Equal(ask ?? [], step.Ask);
        Assert.Equal(complete, step.IsComplete);
    }

    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
