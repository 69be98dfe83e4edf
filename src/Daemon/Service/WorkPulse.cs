using System.Diagnostics;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Daemon.Service;

/// <summary>What the work has shown of itself up to a moment.</summary>
/// <param name="Signs">A number that changes with each sign of life.</param>
/// <param name="QuietUntil">Until when none is to be expected, by the clock of <see cref="WorkPulse.Now"/>.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct WorkSigns(long Signs, TimeSpan QuietUntil);

/// <summary>Signs of life of the daemon's own work: its loop, and the steps of a start and an end. Thread-safe.</summary>
internal sealed class WorkPulse
{
    private long _signs;
    private long _quietUntil;

    /// <summary>The clock that nobody sets.</summary>
    internal static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>What there is up to now.</summary>
    internal WorkSigns Signs => new(Interlocked.Read(ref _signs), TimeSpan.FromTicks(Interlocked.Read(ref _quietUntil)));

    /// <summary>The work goes on.</summary>
    internal void Beat() => Quiet(TimeSpan.Zero);

    /// <summary>The work goes on, and waits for something now that has a limit of its own.</summary>
    /// <param name="limit">That limit.</param>
    internal void Quiet(TimeSpan limit)
    {
        _ = Interlocked.Exchange(ref _quietUntil, limit > TimeSpan.Zero ? (Now + limit).Ticks : 0);
        _ = Interlocked.Increment(ref _signs);
    }
}
