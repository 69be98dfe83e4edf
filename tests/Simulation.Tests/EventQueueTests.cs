using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Random;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class EventQueueTests
{
    private static readonly Distribution[] Gaps =
    [
        new(DistributionKind.Constant, 0), new(DistributionKind.Constant, 1e-9), new(DistributionKind.Constant, 1),
        new(DistributionKind.Exponential, 1), new(DistributionKind.Exponential, 3e-9), new(DistributionKind.Pareto, 1, 1.05),
        new(DistributionKind.Exponential, 1e-6), new(DistributionKind.Exponential, 1e6),
    ];

    [Fact]
    public void Events_come_in_the_order_of_a_sorted_set_whatever_is_scheduled_when() =>
        Prop.ForAll<ulong>(seed =>
        {
            var random = new RandomStream(seed, 0, 0);
            var queue = new EventQueue();
            var model = new SortedSet<SimEvent>();
            long now = 0;

            // Long enough for epochs to begin with a few events and with thousands.
            for (int round = 0; round < 12; round++)
            {
                Distribution gap = Gaps[random.NextBelow(Gaps.Length)];
                int pushes = 1 << random.NextBelow(11), pops = 1 << random.NextBelow(11);
                for (int i = 0; i < pushes; i++)
                {
                    var e = new SimEvent(Math.Min(now + gap.Next(ref random), EventQueue.Horizon), random.Next() >> 50);
                    if (model.Add(e))
                    {
                        Push(queue, e, ref random);
                    }
                }

                for (int i = 0; i < pops && model.Count > 0; i++)
                {
                    Assert.Equal(model.Min.Time, queue.NextTime());
                    Assert.True(queue.TryPop(out SimEvent e));
                    Assert.Equal(model.Min, e);
                    _ = model.Remove(e);
                    now = e.Time;
                    if (random.NextBelow(2) == 0)
                    {
                        var next = new SimEvent(Math.Min(now + gap.Next(ref random), EventQueue.Horizon), random.Next() >> 50);
                        if (model.Add(next))
                        {
                            Push(queue, next, ref random);
                        }
                    }
                }

                Assert.Equal(model.Count, queue.Count);
            }
        }).Check(Properties.Quiet);

    [Theory]
    [InlineData(10)]
    [InlineData(5000)]
    public void Equal_times_come_in_the_order_of_their_data_not_of_their_scheduling(int count)
    {
        foreach (int step in new[] { 1, 7 })
        {
            var queue = new EventQueue();
            for (int i = 0; i < count; i++)
            {
                ulong data = (ulong)((long)i * step % count);
                if (i % 3 == 0)
                {
                    queue.PushSoon(17, data);
                }
                else
                {
                    queue.Push(17, data);
                }
            }

            for (ulong i = 0; i < (ulong)count; i++)
            {
                Assert.True(queue.TryPop(out SimEvent e));
                Assert.Equal(new SimEvent(17, i), e);
            }

            Assert.False(queue.TryPop(out _));
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(long.MaxValue)]
    public void A_time_that_is_none_is_refused(long time)
    {
        var queue = new EventQueue();
        Assert.Throws<ArgumentOutOfRangeException>(() => queue.Push(time, 0));
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public void A_cleared_queue_is_as_new()
    {
        var queue = new EventQueue();
        for (int i = 0; i < 1000; i++)
        {
            queue.Push(i * 1000, 0);
        }

        _ = queue.TryPop(out _);
        queue.Clear();
        Assert.False(queue.TryPop(out _));
        queue.Push(5, 1);
        Assert.True(queue.TryPop(out SimEvent e));
        Assert.Equal(new SimEvent(5, 1), e);
    }

    [Fact]
    public void More_events_allocate_nothing_more()
    {
        _ = HoldModel.Run(1000, 100_000, 1);
        long few = Allocated(100_000), many = Allocated(1_000_000);
        Assert.Equal(few, many);

        static long Allocated(long events)
        {
            // More than once: the runtime itself may allocate when it replaces code that runs often.
            long least = long.MaxValue;
            for (int i = 0; i < 5; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                _ = HoldModel.Run(1000, events, 1);
                least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            }

            return least;
        }
    }

    private static void Push(EventQueue queue, SimEvent e, ref RandomStream random)
    {
        if (random.NextBelow(3) == 0)
        {
            queue.PushSoon(e.Time, e.Data);
        }
        else
        {
            queue.Push(e.Time, e.Data);
        }
    }
}

/// <summary>How properties are checked: a counterexample is thrown, success is silent.</summary>
internal static class Properties
{
    internal static Config Quiet { get; } = Config.QuickThrowOnFailure.WithQuietOnSuccess(true);

    internal static Config Few { get; } = Quiet.WithMaxTest(25);
}
