using System.Globalization;

namespace XenTwoLevelCkpt.Daemon.Service;

/// <summary>Where the daemon's life is, as a service manager sees it.</summary>
public enum ServicePhase
{
    /// <summary>It undoes what was left behind, and reads its state.</summary>
    Starting,

    /// <summary>It serves.</summary>
    Serving,

    /// <summary>It ends what it is doing.</summary>
    Stopping,
}

/// <summary>What a service manager has been told, and what it is to be told next, in the terms of sd_notify(3).</summary>
/// <param name="Phase">The phase.</param>
/// <param name="Signs">The signs of life when it was last told that the work goes on.</param>
/// <param name="Told">When that was.</param>
/// <param name="Status">The last line for <c>systemctl status</c>.</param>
internal readonly record struct ServiceNotices(ServicePhase Phase, long Signs, TimeSpan Told, string Status)
{
    /// <summary>How long one step of a start or an end may take before the service manager's own limit holds. The longest with
    /// a limit of its own is the wait for a guest that may suspend yet, 60 s.</summary>
    internal static readonly TimeSpan StepLimit = TimeSpan.FromMinutes(2);

    /// <summary>Between two extensions of the time for a start or an end.</summary>
    internal static readonly TimeSpan ExtendInterval = TimeSpan.FromSeconds(1);

    private static string Extension => string.Create(
        CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={StepLimit.Ticks / TimeSpan.TicksPerMicrosecond}");

    /// <summary>A phase begins.</summary>
    /// <param name="phase">The phase.</param>
    /// <param name="now">The time.</param>
    /// <param name="work">The work's signs of life.</param>
    /// <param name="status">A line for <c>systemctl status</c>.</param>
    internal static (ServiceNotices Next, string Message) Enter(ServicePhase phase, TimeSpan now, WorkSigns work, string status)
    {
        string state = phase switch
        {
            ServicePhase.Starting => Extension,
            ServicePhase.Serving => "READY=1",
            _ => $"STOPPING=1\n{Extension}",
        };
        return (new(phase, work.Signs, now, status), $"{state}\nSTATUS={status}");
    }

    /// <summary>Time passes.</summary>
    /// <param name="now">The time.</param>
    /// <param name="work">The work's signs of life.</param>
    /// <param name="status">A line for <c>systemctl status</c>.</param>
    /// <param name="watchdog">WATCHDOG_USEC; null where nothing watches.</param>
    /// <returns>What to send; null for nothing.</returns>
    /// <remarks>Work that shows no sign for half of the watchdog's time or less is never taken for one that hangs; one that
    /// does for all of it always is.</remarks>
    internal (ServiceNotices Next, string? Message) Pass(TimeSpan now, WorkSigns work, string status, TimeSpan? watchdog)
    {
        TimeSpan? interval = Phase == ServicePhase.Serving ? watchdog / 2 : ExtendInterval;
        bool goesOn = now - Told >= interval && (work.Signs != Signs || now < work.QuietUntil);
        string? alive = !goesOn ? null : Phase == ServicePhase.Serving ? "WATCHDOG=1" : Extension;
        string? line = status == Status ? null : $"STATUS={status}";
        return (
            this with { Signs = goesOn ? work.Signs : Signs, Told = goesOn ? now : Told, Status = status },
            alive is null || line is null ? alive ?? line : $"{alive}\n{line}");
    }
}
