namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>What is known of how a guest suspends itself. Times are of one clock that nobody sets.</summary>
internal sealed class SuspendHistory
{
    /// <summary>The first pause after a request that a guest did not follow, which doubles up to <see cref="LastPause"/>: a
    /// guest that hangs is asked ever less often, since every request keeps a checkpoint waiting for as long as the guest has.
    /// </summary>
    internal static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(10);

    /// <summary>The longest pause: a guest that works again is part of checkpoints after this time at the latest.</summary>
    internal static readonly TimeSpan LastPause = TimeSpan.FromMinutes(5);

    private int _failures;
    private TimeSpan _askAgain, _took;

    /// <summary>What the next request may expect.</summary>
    internal SuspendExpectation Expected => new(_took, _failures > 0);

    /// <summary>It has suspended itself.</summary>
    /// <param name="took">How long after the request.</param>
    internal void Answered(TimeSpan took)
    {
        _took = took;
        _failures = 0;
    }

    /// <summary>It has not.</summary>
    /// <returns>How long it is not asked from now on.</returns>
    internal TimeSpan Failed(TimeSpan now)
    {
        TimeSpan pause = FirstPause * Math.Pow(2, Math.Min(_failures++, 10));
        pause = pause < LastPause ? pause : LastPause;
        _askAgain = now + pause;
        return pause;
    }

    /// <summary>How long it is not asked yet; zero where it can be asked now.</summary>
    internal TimeSpan Pause(TimeSpan now) => _failures > 0 && _askAgain > now ? _askAgain - now : TimeSpan.Zero;
}
