namespace XenTwoLevelCkpt.Checkpointing.Pacing;

/// <summary>How much of the host the work may take that is done while guests run: how long it rests after each piece. A bucket that
/// may be overdrawn by one piece, and is paid for by resting before the next.</summary>
/// <remarks>Pure: times and amounts come from the caller. One thread uses it at a time.</remarks>
internal sealed class BackgroundPace
{
    /// <summary>The longest rest, however large a piece was: the dirty logs have to be looked at meanwhile.</summary>
    internal static readonly TimeSpan LongestRest = TimeSpan.FromSeconds(2);

    private readonly double _share;
    private readonly double _rate;
    private TimeSpan _owed;

    /// <summary>Makes one that owes nothing.</summary>
    /// <param name="share">The share of the time in which the work may go on, above 0, at most 1; 1 for no limit.</param>
    /// <param name="rate">Octets a second that may be written; null for any number.</param>
    internal BackgroundPace(double share, long? rate)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(share);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(share, 1);
        _share = share;
        _rate = rate ?? double.PositiveInfinity;
    }

    /// <summary>Takes note of a piece of work.</summary>
    /// <param name="elapsed">How long it is since the last one was noted, the rest between them included.</param>
    /// <param name="busy">How long of that the work went on. Where it had to wait for a processor, that counts: then others wait, too.
    /// </param>
    /// <param name="octets">Octets that were written.</param>
    /// <returns>How long to rest before the next piece; zero for not at all.</returns>
    internal TimeSpan Note(TimeSpan elapsed, TimeSpan busy, long octets)
    {
        double needed = Math.Max(Math.Max(0, busy.TotalSeconds) / _share, Math.Max(0, octets) / _rate);

        // What was not used is not saved up: a burst is what guests feel.
        double owed = Math.Max(0, _owed.TotalSeconds + needed - Math.Max(0, elapsed.TotalSeconds));
        _owed = TimeSpan.FromSeconds(Math.Min(owed, TimeSpan.FromHours(1).TotalSeconds));
        return _owed < LongestRest ? _owed : LongestRest;
    }
}
