namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>The time of a simulated cluster, and what happens in it: one thing after the other, in the order of its time, and of two at
/// one moment in the order in which they were asked for.</summary>
internal sealed class VirtualClock : TimeProvider
{
    private static readonly DateTimeOffset Beginning = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly PriorityQueue<Action, (long At, long Order)> _queue = new();
    private long _order;

    /// <summary>Microseconds since the beginning.</summary>
    internal long Now { get; private set; }

    /// <summary>How many things have happened.</summary>
    internal long Events { get; private set; }

    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => Now;

    public override DateTimeOffset GetUtcNow() => Beginning.AddMicroseconds(Now);

    /// <summary>Has something happen later.</summary>
    /// <param name="microseconds">How much later, at least 0.</param>
    /// <param name="what">What happens.</param>
    internal void After(long microseconds, Action what) => _queue.Enqueue(what, (Now + microseconds, _order++));

    /// <summary>Has the next thing happen.</summary>
    /// <param name="until">The time, in microseconds, after which nothing happens.</param>
    /// <returns>False where there is none until then.</returns>
    internal bool Step(long until)
    {
        if (!_queue.TryPeek(out _, out (long At, long Order) next) || next.At > until)
        {
            Now = Math.Max(Now, until);
            return false;
        }

        Action what = _queue.Dequeue();
        Now = next.At;
        Events++;
        what();
        return true;
    }
}
