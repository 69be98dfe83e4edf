using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Hosting.Systemd;

namespace XenTwoLevelCkpt.Daemon.Service;

/// <summary>Tells the service manager how the daemon is: sd_notify(3), through the socket that NOTIFY_SOCKET names. Without one
/// nothing is told.</summary>
/// <remarks>The library's host integration (AddSystemd) tells READY=1 when the host's services have started, which is before the
/// node has read its state, and knows neither watchdog nor extensions.</remarks>
public sealed class ServiceManager : IDisposable
{
    private readonly ISystemdNotifier _notifier;
    private readonly TimeSpan? _watchdog;
    private readonly Func<TimeSpan> _now;
    private readonly Lock _gate = new();
    private readonly Timer? _timer;
    private ServiceNotices _notices;
    private NodeDaemon? _node;

    /// <summary>Connects to nobody yet.</summary>
    /// <param name="notifier">Sends.</param>
    /// <param name="watchdog">How long the service manager waits for a sign of life; null where it does not.</param>
    /// <param name="now">The clock, that of <see cref="WorkPulse.Now"/>.</param>
    internal ServiceManager(ISystemdNotifier notifier, TimeSpan? watchdog, Func<TimeSpan> now)
    {
        _notifier = notifier;
        _watchdog = watchdog;
        _now = now;
    }

    private ServiceManager(ISystemdNotifier notifier, TimeSpan? watchdog)
        : this(notifier, watchdog, static () => WorkPulse.Now)
    {
        if (notifier.IsEnabled)
        {
            // Once more after each look: two never run at the same time.
            TimeSpan look = watchdog / 8 is { } often && often < ServiceNotices.ExtendInterval ? often : ServiceNotices.ExtendInterval;
            _timer = new Timer(_ =>
            {
                Look();
                _ = _timer!.Change(look, Timeout.InfiniteTimeSpan);
            });
            _ = _timer.Change(look, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Begins to tell the service manager that started this process.</summary>
    /// <param name="status">A line for <c>systemctl status</c>.</param>
    public static ServiceManager Start(string status)
    {
        var manager = new ServiceManager(new SystemdNotifier(), Watchdog(
            Environment.GetEnvironmentVariable("WATCHDOG_USEC"), Environment.GetEnvironmentVariable("WATCHDOG_PID"), Environment.ProcessId));
        manager.Enter(ServicePhase.Starting, status);
        return manager;
    }

    /// <summary>Watches a node's work from now on.</summary>
    /// <param name="node">The node.</param>
    public void Watch(NodeDaemon node) => _node = node;

    /// <summary>A phase begins.</summary>
    /// <param name="phase">The phase.</param>
    /// <param name="status">A line for <c>systemctl status</c>; null for what the node says.</param>
    public void Enter(ServicePhase phase, string? status = null)
    {
        lock (_gate)
        {
            (_notices, string message) = ServiceNotices.Enter(phase, _now(), Signs, status ?? Status);
            Send(message);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _timer?.Dispose();

    /// <summary>Looks at the work.</summary>
    internal void Look()
    {
        lock (_gate)
        {
            (_notices, string? message) = _notices.Pass(_now(), Signs, Status, _watchdog);
            if (message is not null)
            {
                Send(message);
            }
        }
    }

    /// <summary>The watchdog's time, as sd_watchdog_enabled(3) reads it.</summary>
    /// <param name="time">WATCHDOG_USEC.</param>
    /// <param name="process">WATCHDOG_PID: the process that is meant; null for any.</param>
    /// <param name="self">This process.</param>
    internal static TimeSpan? Watchdog(string? time, string? process, int self) =>
        long.TryParse(time, NumberStyles.None, CultureInfo.InvariantCulture, out long microseconds)
            && microseconds is > 0 and <= long.MaxValue / TimeSpan.TicksPerMicrosecond
            && (string.IsNullOrEmpty(process) || process == self.ToString(CultureInfo.InvariantCulture))
            ? TimeSpan.FromTicks(microseconds * TimeSpan.TicksPerMicrosecond)
            : null;

    private WorkSigns Signs => _node?.Signs ?? default;

    private string Status => _node?.Doing ?? _notices.Status;

    private void Send(string message)
    {
        try
        {
            _notifier.Notify(new ServiceState(message));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            // Nobody listens. The service manager finds out by its own time limits; the work goes on.
        }
    }
}
