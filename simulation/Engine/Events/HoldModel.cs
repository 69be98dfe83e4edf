using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Events;

/// <summary>The hold model, by which event queues are compared (Vaucher and Duval 1975; Benchmark 1 of Sim#): n events
/// are pending, and each that happens schedules one more.</summary>
public static class HoldModel
{
    /// <summary>Runs it, the time between an event and its successor uniform over 2n seconds.</summary>
    /// <param name="pending">n.</param>
    /// <param name="events">Events to let happen.</param>
    /// <param name="seed">The seed.</param>
    /// <returns>The simulated time of the last event.</returns>
    public static long Run(int pending, long events, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pending);
        long bound = 2_000_000_000L * pending;
        var queue = new EventQueue();
        var streams = new RandomStream[pending];
        for (int i = 0; i < pending; i++)
        {
            streams[i] = new RandomStream(seed, 0, (uint)i);
            queue.Push(Delay(ref streams[i], bound), (ulong)i);
        }

        return Loop(queue, streams, bound, events);
    }

    private static long Delay(ref RandomStream stream, long bound) => (long)Math.BigMul(stream.Next(), (ulong)bound, out _);

    private static long Loop(EventQueue queue, RandomStream[] streams, long bound, long events)
    {
        long now = 0;
        while (events-- > 0 && queue.TryPop(out SimEvent e))
        {
            now = e.Time;
            queue.Push(now + Delay(ref streams[(int)e.Data], bound), e.Data);
        }

        return now;
    }
}
