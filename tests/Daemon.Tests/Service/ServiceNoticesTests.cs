using Microsoft.Extensions.Hosting.Systemd;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests.Service;

/// <summary>What the service manager is told at which time, with a clock that the test sets.</summary>
public sealed class ServiceNoticesTests : IDisposable
{
    private static readonly TimeSpan Watchdog = TimeSpan.FromSeconds(10);

    private readonly Socket _socket = new();
    private readonly ServiceManager _manager;
    private TimeSpan _now = WorkPulse.Now;

    public ServiceNoticesTests() => _manager = new ServiceManager(_socket, Watchdog, () => _now);

    public void Dispose() => _manager.Dispose();

    [Fact]
    public void The_time_for_a_start_and_an_end_is_extended_while_their_steps_go_on()
    {
        foreach (ServicePhase phase in new[] { ServicePhase.Starting, ServicePhase.Stopping })
        {
            var pulse = new WorkPulse();
            (ServiceNotices told, string first) = ServiceNotices.Enter(phase, TimeSpan.Zero, pulse.Signs, "s");
            Assert.Contains("EXTEND_TIMEOUT_USEC=120000000", first, StringComparison.Ordinal);
            TimeSpan now = TimeSpan.Zero;
            for (int i = 0; i < 3; i++)
            {
                pulse.Beat();
                (told, string? message) = told.Pass(now += ServiceNotices.ExtendInterval, pulse.Signs, "s", Watchdog);
                Assert.Equal("EXTEND_TIMEOUT_USEC=120000000", message);

                // A step that hangs shows nothing.
                (told, message) = told.Pass(now += TimeSpan.FromHours(1), pulse.Signs, "s", Watchdog);
                Assert.Null(message);
            }
        }
    }

    [Fact]
    public void The_watchdog_is_fed_at_half_of_its_time_and_only_by_signs_of_life()
    {
        var pulse = new WorkPulse();
        (ServiceNotices told, string ready) = ServiceNotices.Enter(ServicePhase.Serving, TimeSpan.Zero, pulse.Signs, "s");
        Assert.Equal("READY=1\nSTATUS=s", ready);
        Assert.Null(Pass(1));
        pulse.Beat();
        Assert.Null(Pass(4));
        Assert.Equal("WATCHDOG=1", Pass(5));
        Assert.Null(Pass(10));
        Assert.Null(Pass(14));
        pulse.Beat();
        Assert.Equal("WATCHDOG=1", Pass(14));
        pulse.Beat();
        (told, string? message) = told.Pass(TimeSpan.FromSeconds(15), pulse.Signs, "other", Watchdog);
        Assert.Equal("STATUS=other", message);
        (told, message) = told.Pass(TimeSpan.FromSeconds(60), pulse.Signs, "other", null);
        Assert.Null(message);

        string? Pass(int second)
        {
            (told, string? sent) = told.Pass(TimeSpan.FromSeconds(second), pulse.Signs, "s", Watchdog);
            return sent;
        }
    }

    [Fact]
    public void A_wait_with_a_limit_of_its_own_is_no_silence_before_that()
    {
        var pulse = new WorkPulse();
        (ServiceNotices told, _) = ServiceNotices.Enter(ServicePhase.Serving, WorkPulse.Now, pulse.Signs, "s");
        pulse.Quiet(TimeSpan.FromHours(1));
        TimeSpan end = pulse.Signs.QuietUntil;
        (told, string? message) = told.Pass(end - TimeSpan.FromMinutes(2), pulse.Signs, "s", Watchdog);
        Assert.Equal("WATCHDOG=1", message);
        (told, message) = told.Pass(end - TimeSpan.FromMinutes(1), pulse.Signs, "s", Watchdog);
        Assert.Equal("WATCHDOG=1", message);
        (told, message) = told.Pass(end, pulse.Signs, "s", Watchdog);
        Assert.Null(message);
        pulse.Quiet(TimeSpan.FromHours(1));
        pulse.Beat();
        (told, message) = told.Pass(end, pulse.Signs, "s", Watchdog);
        Assert.Equal("WATCHDOG=1", message);
        Assert.Null(told.Pass(end + Watchdog, pulse.Signs, "s", Watchdog).Message);
    }

    [Theory]
    [InlineData("20000000", null, 20.0)]
    [InlineData("20000000", "7", 20.0)]
    [InlineData("20000000", "8", null)]
    [InlineData("0", null, null)]
    [InlineData("-1", null, null)]
    [InlineData("18446744073709551615", null, null)]
    [InlineData("20s", null, null)]
    [InlineData(null, "7", null)]
    public void The_watchdog_is_this_process_s_or_nobody_s(string? time, string? process, double? seconds) =>
        Assert.Equal(seconds, ServiceManager.Watchdog(time, process, 7)?.TotalSeconds);

    [Theory]
    [InlineData("8:12", "socket:[12]", true)]
    [InlineData("8:12", "pipe:[12]", false)]
    [InlineData("8:12", "/dev/null", false)]
    [InlineData("8:12", null, false)]
    [InlineData("", "socket:[12]", false)]
    [InlineData(null, "socket:[12]", false)]
    public void The_journal_reads_where_the_stream_is_a_socket(string? stream, string? target, bool reads)
    {
        Assert.Equal(reads, Journal.Reads(stream, target));

        // The tests' own output is no journal's.
        Assert.Equal("text", Journal.Line(LogLevel.Error, "text"));
    }

    [Fact]
    public void Nobody_at_the_socket_ends_nothing()
    {
        _socket.Gone = true;
        _manager.Enter(ServicePhase.Starting, "s");
        _manager.Look();
        Assert.Empty(_socket.Sent);
        _socket.Gone = false;
        _manager.Enter(ServicePhase.Stopping, "t");
        Assert.StartsWith("STOPPING=1\n", Assert.Single(_socket.Sent), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_loop_that_hangs_in_a_checkpoint_feeds_no_watchdog_and_a_restore_that_takes_long_does()
    {
        using var broken = new BrokenPlatform();
        using var there = new SemaphoreSlim(0);
        using var go = new SemaphoreSlim(0);
        await using TestNode node = await TestNode.StartAsync(1, before: n => n.Platform = n => broken.Over(n.Hypervisor));
        _manager.Watch(node.Node);
        _manager.Enter(ServicePhase.Serving);
        Assert.Equal("READY=1\nSTATUS=Ready: index 0, 0 checkpoints", _socket.Sent[0]);
        await FedAsync();
        broken.Disk = () =>
        {
            _ = there.Release();
            go.Wait();
            return new IOException("no disk");
        };
        Task<CheckpointReport> failing = node.CheckpointAsync();
        await there.WaitAsync();

        // What it had done before it hung may show once.
        Feeds();
        int fed = Enumerable.Range(0, 4).Sum(_ => Feeds());
        go.Release(1000);
        Assert.Equal(0, fed);
        await Assert.ThrowsAnyAsync<Exception>(() => failing);
        await FedAsync();
        broken.Disk = null;
        _ = await node.CheckpointAsync();
        using var restoring = new SemaphoreSlim(0);
        using var restore = new SemaphoreSlim(0);
        broken.Restore = () =>
        {
            _ = restoring.Release();
            restore.Wait();
        };
        Task<RestoreResult> slow = node.RestoreAsync(new RestoreRequest { Checkpoint = "latest", NewName = "c" });
        await restoring.WaitAsync();
        Feeds();
        await FedAsync();
        await FedAsync();
        restore.Release();
        await slow;
    }

    [Fact]
    public async Task The_status_tells_what_a_start_is_at()
    {
        using var broken = new BrokenPlatform();
        using var there = new SemaphoreSlim(0);
        using var go = new SemaphoreSlim(0);
        broken.Guardian = () =>
        {
            _ = there.Release();
            go.Wait();
        };
        _manager.Enter(ServicePhase.Starting, "s");
        Task<TestNode> starting = Task.Run(() => TestNode.StartAsync(1, before: n =>
        {
            n.Platform = n => broken.Over(n.Hypervisor);
            n.Configure = _manager.Watch;
        }));
        await there.WaitAsync();
        _now += ServiceNotices.ExtendInterval;
        _manager.Look();
        _now += ServiceNotices.ExtendInterval;
        _manager.Look();
        go.Release();
        Assert.Equal(["EXTEND_TIMEOUT_USEC=120000000\nSTATUS=s", "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=Undoes what was left behind"], _socket.Sent);
        await using TestNode node = await starting;
        _manager.Enter(ServicePhase.Serving);
        Assert.StartsWith("READY=1\nSTATUS=Ready: index 0", _socket.Sent[^1], StringComparison.Ordinal);
    }

    // Signs of life come once a second by themselves.
    private async Task FedAsync()
    {
        while (Feeds() == 0)
        {
            await Task.Delay(20);
        }
    }

    private int Feeds()
    {
        int before = _socket.Sent.Count;
        _now += Watchdog;
        _manager.Look();
        return _socket.Sent.Skip(before).Count(m => m.StartsWith("WATCHDOG=1", StringComparison.Ordinal));
    }

    private sealed class Socket : ISystemdNotifier
    {
        internal List<string> Sent { get; } = [];

        internal bool Gone { get; set; }

        public bool IsEnabled => true;

        public void Notify(ServiceState state)
        {
            if (Gone)
            {
                throw new System.Net.Sockets.SocketException((int)System.Net.Sockets.SocketError.ConnectionRefused);
            }

            Sent.Add(state.ToString());
        }
    }
}
