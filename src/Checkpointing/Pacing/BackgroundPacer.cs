using System.Diagnostics;

namespace XenTwoLevelCkpt.Checkpointing.Pacing;

/// <summary>Measures work that is done while guests run, and lets it rest as a <see cref="BackgroundPace"/> says.</summary>
/// <remarks>One thread uses it at a time.</remarks>
internal sealed class BackgroundPacer
{
    private readonly BackgroundPace _pace;
    private TimeSpan _noted;
    private TimeSpan _began;

    /// <summary>Makes one.</summary>
    /// <param name="pace">Decides.</param>
    internal BackgroundPacer(BackgroundPace pace) => _pace = pace;

    /// <summary>What has passed of time; the monotonic clock but in tests.</summary>
    internal Func<TimeSpan> Clock { get; init; } = static () => Stopwatch.GetElapsedTime(0);

    /// <summary>Rests, until a token is cancelled.</summary>
    internal Action<TimeSpan, CancellationToken> Sleep { get; init; } = static (rest, token) => _ = token.WaitHandle.WaitOne(rest);

    /// <summary>A piece of work begins.</summary>
    internal void Begin() => _began = Clock();

    /// <summary>A piece of work is done.</summary>
    /// <param name="octets">Octets that it gave to the store.</param>
    /// <returns>How long it has to rest.</returns>
    internal TimeSpan Done(long octets)
    {
        TimeSpan now = Clock();
        TimeSpan rest = _pace.Note(now - _noted, now - _began, octets);
        _noted = now;
        return rest;
    }

    /// <summary>A piece of work is done: rests, where it has to.</summary>
    /// <param name="octets">Octets that it gave to the store.</param>
    /// <param name="cancellationToken">Ends the rest.</param>
    internal void Rest(long octets, CancellationToken cancellationToken)
    {
        TimeSpan rest = Done(octets);
        if (rest > TimeSpan.Zero)
        {
            Sleep(rest, cancellationToken);
        }
    }
}
