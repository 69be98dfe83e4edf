namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>
/// Decides which guest is asked to suspend when, so that guests which answer at once do not stand still while a slow one is
/// waited for. A pure state machine: what happened comes in, what is to be done comes out; times are of one clock, whatever
/// its beginning.
/// </summary>
/// <remarks>
/// <para>Three kinds of guests are asked one kind after the other. First those that are in doubt: they did not answer the
/// last time, or are late now. When each of them is suspended or has failed come the slow ones, which take longer than the
/// limit: each as much earlier as it takes longer, so that they are suspended at one moment. Last come the quick ones, all
/// together.</para>
/// <para>A guest that stands still for the limit and waits for another one runs again, with all that are suspended, and
/// is asked anew at its time. What is late then is in doubt. So a guest that hangs, or one that nobody knew as slow, lets no
/// other guest stand still for longer than the limit, or twice that where it was asked before the others.</para>
/// <para>That happens a bounded number of times, so the schedule ends: guests that take another time whenever they are asked
/// are waited for in the end.</para>
/// </remarks>
/// <param name="expected">For each guest what is known of it.</param>
/// <param name="limit">How long a suspended guest waits for one that is not.</param>
internal sealed class SuspendSchedule(IReadOnlyList<SuspendExpectation> expected, TimeSpan limit)
{
    /// <summary>How often guests are let run again, for each guest there is. Each time the schedule learns of one at least how
    /// long it takes, or that this is longer than it was: twice is enough for guests that take the same time whenever they
    /// are asked.</summary>
    private const int TriesPerGuest = 2;

    private readonly Guest[] _guests = [.. expected.Select(e => new Guest { Takes = e.Takes, InDoubt = e.InDoubt })];

    private int _tries = TriesPerGuest * expected.Count;

    private enum Stage
    {
        Waiting,
        Asked,
        Down,
        Out,
    }

    /// <summary>Since when guests stand still for the checkpoint: from the last request on, or from when the first of those
    /// that are suspended was.</summary>
    internal TimeSpan StandstillSince => _guests.Where(g => g.Stage == Stage.Down).Select(g => g.Since)
        .Append(LastAsked).Min();

    private TimeSpan LastAsked { get; set; }

    /// <summary>A guest has suspended itself.</summary>
    internal void Down(int guest, TimeSpan now)
    {
        Guest g = _guests[guest];
        (g.Takes, g.InDoubt) = (now - g.Since, false);
        (g.Stage, g.Since) = (Stage.Down, now);
    }

    /// <summary>A guest has not suspended itself, and is not waited for any more.</summary>
    internal void Fail(int guest) => _guests[guest].Stage = Stage.Out;

    /// <summary>What is to be done now.</summary>
    /// <param name="now">The time.</param>
    internal SuspendStep Next(TimeSpan now)
    {
        int[] resume = HasToRunAgain(now) ? RunAgain(now) : [];
        int[] ask = [.. Where(g => g.Stage == Stage.Waiting && IsDue(g, now))];
        foreach (int guest in ask)
        {
            (_guests[guest].Stage, _guests[guest].Since) = (Stage.Asked, now);
            LastAsked = now;
        }

        return new SuspendStep(resume, ask, _guests.All(g => g.Stage is Stage.Down or Stage.Out));
    }

    private bool IsDue(Guest guest, TimeSpan now)
    {
        if (guest.InDoubt)
        {
            return true;
        }

        Guest[] open = [.. _guests.Where(IsOpen)];
        return !open.Any(g => g.InDoubt) && (IsSlow(guest) ? IsSlowDue(guest, open, now) : !open.Any(IsSlow));
    }

    // One that would keep those waiting that were asked before it is not asked: they all begin anew.
    private bool IsSlowDue(Guest guest, Guest[] open, TimeSpan now)
    {
        TimeSpan[] left = [.. open.Where(g => g.Stage == Stage.Asked).Select(g => Left(g, now))];
        return _tries == 0 || (left.Length == 0
            ? open.All(g => g.Takes <= guest.Takes)
            : left.Max() <= guest.Takes && left.Max() >= guest.Takes - limit);
    }

    private bool IsSlow(Guest guest) => guest.Takes > limit;

    private static bool IsOpen(Guest guest) => guest.Stage is Stage.Waiting or Stage.Asked;

    private static TimeSpan Left(Guest asked, TimeSpan now) => asked.Since + asked.Takes - now;

    private bool HasToRunAgain(TimeSpan now)
    {
        Guest[] open = [.. _guests.Where(IsOpen)];
        if (_tries == 0 || open.Length == 0)
        {
            return false;
        }

        // What others were asked for late, a slow guest waits for from then on; twice the limit is enough in any case.
        Guest[] down = [.. _guests.Where(g => g.Stage == Stage.Down)];
        return down.Any(g => now - Later(g.Since, LastAsked) >= limit || now - g.Since >= 2 * limit)
            || (down.Length > 0 && open.Any(IsSlow) && open.All(g => g.Stage == Stage.Waiting));
    }

    private int[] RunAgain(TimeSpan now)
    {
        _tries--;
        foreach (Guest late in _guests.Where(g => g.Stage == Stage.Asked && Left(g, now) <= TimeSpan.Zero))
        {
            late.InDoubt = true;
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

    private static TimeSpan Later(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private sealed class Guest
    {
        // From the request to the suspension; zero where nothing is known of it.
        internal TimeSpan Takes { get; set; }

        internal bool InDoubt { get; set; }

        internal Stage Stage { get; set; }

        // When it was asked, or was suspended.
        internal TimeSpan Since { get; set; }
    }
}

/// <summary>What is known of how a guest suspends itself.</summary>
/// <param name="Takes">From the request to the suspension, the last time; zero before the first.</param>
/// <param name="InDoubt">True where it did not suspend itself when it was asked last.</param>
internal readonly record struct SuspendExpectation(TimeSpan Takes, bool InDoubt);

/// <summary>What is to be done, in this order.</summary>
/// <param name="Resume">Guests that have waited long enough, and run again. They are asked once more later.</param>
/// <param name="Ask">Guests to ask.</param>
/// <param name="IsComplete">True where every guest is suspended or has failed.</param>
internal sealed record SuspendStep(IReadOnlyList<int> Resume, IReadOnlyList<int> Ask, bool IsComplete);
