namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>
/// Decides which guest is asked to suspend when, so that guests which answer at once do not stand still while a slow one is
/// waited for. A pure state machine: what happened comes in, what is to be done comes out; times are of one clock, whatever
/// its beginning.
/// </summary>
/// <remarks>
/// <para>Guests that were slow before are asked first, and the others only when those are suspended or have failed. A guest
/// that turns out to be slow is found by the others' waiting: once one of them has stood still for the limit, those that
/// are suspended run again, and the slow one counts as slow from then on. So nobody waits longer than the limit for a guest
/// that answers at once elsewhere, and a guest may take as long as its own timeout allows.</para>
/// <para>Each guest becomes slow at most once, so the schedule ends.</para>
/// </remarks>
/// <param name="slow">For each guest whether it was slow before.</param>
/// <param name="limit">How long a suspended guest waits for one that is not known as slow.</param>
internal sealed class SuspendSchedule(IReadOnlyList<bool> slow, TimeSpan limit)
{
    private readonly Guest[] _guests = [.. slow.Select(s => new Guest { Slow = s })];

    private enum Stage
    {
        Waiting,
        Asked,
        Down,
        Out,
    }

    /// <summary>When the last guest was asked: what the others' standstill is counted from.</summary>
    internal TimeSpan LastAsked { get; private set; }

    /// <summary>Whether a guest is slow, by now.</summary>
    internal bool IsSlow(int guest) => _guests[guest].Slow;

    /// <summary>A guest has suspended itself.</summary>
    internal void Down(int guest, TimeSpan now)
    {
        _guests[guest].Stage = Stage.Down;
        _guests[guest].Since = now;
    }

    /// <summary>A guest has not suspended itself, and is not waited for any more.</summary>
    internal void Fail(int guest) => _guests[guest].Stage = Stage.Out;

    /// <summary>What is to be done now.</summary>
    /// <param name="now">The time.</param>
    internal SuspendStep Next(TimeSpan now)
    {
        int[] resume = WaitedLongEnough(now) ? Promote() : [];
        bool slowLeft = _guests.Any(g => g is { Slow: true, Stage: Stage.Waiting or Stage.Asked });
        int[] ask = [.. Where(g => g.Stage == Stage.Waiting && (g.Slow || !slowLeft))];
        foreach (int guest in ask)
        {
            _guests[guest].Stage = Stage.Asked;
            LastAsked = now;
        }

        return new SuspendStep(resume, ask, _guests.All(g => g.Stage is Stage.Down or Stage.Out));
    }

    // One that is down and waits for guests of which nobody knew that they are slow.
    private bool WaitedLongEnough(TimeSpan now) =>
        _guests.Any(g => g is { Slow: false, Stage: Stage.Asked })
        && _guests.Any(g => g.Stage == Stage.Down && now - Later(g.Since, LastAsked) >= limit);

    private int[] Promote()
    {
        foreach (Guest guest in _guests.Where(g => g.Stage == Stage.Asked))
        {
            guest.Slow = true;
        }

        int[] resume = [.. Where(g => g.Stage == Stage.Down)];
        foreach (int guest in resume)
        {
            _guests[guest].Stage = Stage.Waiting;
        }

        return resume;
    }

    private IEnumerable<int> Where(Func<Guest, bool> condition) =>
        Enumerable.Range(0, _guests.Length).Where(i => condition(_guests[i]));

    // One that was slow has been down since before the others were asked: their time counts.
    private static TimeSpan Later(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private sealed class Guest
    {
        internal bool Slow { get; set; }

        internal Stage Stage { get; set; }

        internal TimeSpan Since { get; set; }
    }
}

/// <summary>What is to be done, in this order.</summary>
/// <param name="Resume">Guests that have waited long enough, and run again. They are asked once more later.</param>
/// <param name="Ask">Guests to ask.</param>
/// <param name="IsComplete">True where every guest is suspended or has failed.</param>
internal sealed record SuspendStep(IReadOnlyList<int> Resume, IReadOnlyList<int> Ask, bool IsComplete);
