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
        var schedule = new SuspendSchedule([Takes(0), Takes(900)], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [0, 1]);
        schedule.Down(0, Ms(10));
        AssertStep(schedule.Next(Ms(10)));
        schedule.Down(1, Ms(20));
        AssertStep(schedule.Next(Ms(20)), complete: true);
        Assert.Equal(Ms(0), schedule.StandstillSince);
    }

    [Fact]
    public void A_guest_in_doubt_is_asked_first_and_the_others_run_until_it_is_suspended()
    {
        var schedule = new SuspendSchedule([Takes(0), InDoubt, Takes(3000)], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [1]);
        AssertStep(schedule.Next(Ms(15_000)));
        schedule.Down(1, Ms(15_000));

        // From now on it is known, and need not stand still for the slow one.
        AssertStep(schedule.Next(Ms(15_000)), resume: [1], ask: [1]);
        AssertStep(schedule.Next(Ms(26_999)));
        AssertStep(schedule.Next(Ms(27_000)), ask: [2]);
    }

    [Fact]
    public void The_others_are_asked_when_one_in_doubt_has_failed()
    {
        var schedule = new SuspendSchedule([InDoubt, Takes(0)], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [0]);
        schedule.Fail(0);
        AssertStep(schedule.Next(Ms(30_000)), ask: [1]);
        schedule.Down(1, Ms(30_010));
        AssertStep(schedule.Next(Ms(30_010)), complete: true);
        Assert.Equal(Ms(30_000), schedule.StandstillSince);
    }

    [Fact]
    public void Slow_guests_do_not_wait_for_one_that_hangs()
    {
        var schedule = new SuspendSchedule([Takes(1500), Takes(2000), InDoubt, Takes(1800)], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [2]);
        AssertStep(schedule.Next(Ms(19_990)));
        schedule.Fail(2);
        AssertStep(schedule.Next(Ms(20_000)), ask: [1]);
    }

    [Fact]
    public void Slow_guests_are_asked_so_that_they_are_suspended_at_one_moment()
    {
        var schedule = new SuspendSchedule([Takes(5000), Takes(100), Takes(9000), Takes(5000)], Limit);

        AssertStep(schedule.Next(Ms(0)), ask: [2]);
        AssertStep(schedule.Next(Ms(3999)));
        AssertStep(schedule.Next(Ms(4000)), ask: [0, 3]);
        schedule.Down(0, Ms(8900));
        schedule.Down(2, Ms(9000));
        AssertStep(schedule.Next(Ms(9000)));
        schedule.Down(3, Ms(9100));
        AssertStep(schedule.Next(Ms(9100)), ask: [1]);
        schedule.Down(1, Ms(9200));
        AssertStep(schedule.Next(Ms(9200)), complete: true);
        Assert.Equal(Ms(8900), schedule.StandstillSince);
    }

    [Fact]
    public void Who_has_waited_for_the_limit_runs_again_until_the_late_one_is_suspended()
    {
        var schedule = new SuspendSchedule([Takes(0), Takes(0), Takes(0)], Limit);
        _ = schedule.Next(Ms(0));
        schedule.Down(0, Ms(10));
        schedule.Down(2, Ms(400));
        AssertStep(schedule.Next(Ms(1009)));
        AssertStep(schedule.Next(Ms(1010)), resume: [0, 2]);
        AssertStep(schedule.Next(Ms(9000)));
        schedule.Down(1, Ms(9000));
        AssertStep(schedule.Next(Ms(9000)), ask: [0, 2]);

        // The late one waits for the others from their request on; should they be late now, it has to suspend once more, too.
        AssertStep(schedule.Next(Ms(9999)));
        AssertStep(schedule.Next(Ms(10_000)), resume: [1]);
        schedule.Fail(2);
        schedule.Down(0, Ms(12_000));

        // Both are slow by now: the one that takes longer begins.
        AssertStep(schedule.Next(Ms(12_000)), resume: [0], ask: [1]);
        AssertStep(schedule.Next(Ms(17_999)));
        AssertStep(schedule.Next(Ms(18_000)), ask: [0]);
    }

    [Fact]
    public void Guests_that_take_another_time_whenever_they_are_asked_are_waited_for_in_the_end()
    {
        var schedule = new SuspendSchedule([Takes(0), Takes(0)], Limit);
        int resumed = 0;
        bool complete = false;
        int?[] due = new int?[2];
        int[] asked = new int[2];
        for (int now = 0; !complete && now < 1_000_000; now += 50)
        {
            for (int i = 0; i < 2; i++)
            {
                if (due[i] <= now)
                {
                    due[i] = null;
                    schedule.Down(i, Ms(now));
                }
            }

            SuspendStep step = schedule.Next(Ms(now));
            resumed += step.Resume.Count;
            foreach (int guest in step.Ask)
            {
                // At once, and then after a long time, by turns; one guest the other way round.
                due[guest] = now + ((asked[guest]++ + guest) % 2 == 0 ? 50 : 5000);
            }

            complete = step.IsComplete;
        }

        Assert.True(complete);
        Assert.InRange(resumed, 1, 8);
    }

    [Fact]
    public void Nobody_stands_still_for_long_and_every_schedule_ends()
    {
        var random = new Random(4711);
        for (int round = 0; round < 20_000; round++)
        {
            Play(random);
        }
    }

    // Guests that answer after a time of their own, or never, of which what is expected is right, wrong or nothing. Whoever is
    // resumed has waited; nobody waits for long; in the end each is suspended or has failed.
    private static void Play(Random random)
    {
        int count = random.Next(1, 7);
        int[] takes = [.. Enumerable.Range(0, count).Select(_ => random.Next(4) switch { 0 => 1000 + random.Next(13_000), 1 => -1, _ => random.Next(900) })];
        var schedule = new SuspendSchedule(
            [.. takes.Select(t => random.Next(4) switch { 0 => InDoubt, 1 => Takes(random.Next(14_000)), 2 when t > 0 => Takes(t), _ => Takes(0) })],
            Limit);
        int?[] asked = new int?[count], down = new int?[count];
        bool[] failed = new bool[count];
        for (int now = 0, steps = 0; ; now += 50)
        {
            Assert.True(++steps < 10_000, "The schedule does not end.");
            for (int i = 0; i < count; i++)
            {
                if (asked[i] is { } at && down[i] is null && !failed[i] && now - at >= (takes[i] < 0 ? 20_000 : takes[i]))
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
                Assert.True(down[i] is not { } since || now - since <= 2000 + 50, $"Guest {i} stands still for {now - down[i]} ms.");
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

    private static SuspendExpectation InDoubt => new(TimeSpan.Zero, InDoubt: true);

    private static SuspendExpectation Takes(int milliseconds) => new(Ms(milliseconds), InDoubt: false);

    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
