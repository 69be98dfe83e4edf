using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>Each fault strikes as documented, and the same operation without it then succeeds.</summary>
public sealed class FaultTests : IDisposable
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    private readonly ModelHypervisor _model = new();
    private readonly ModelGuest _guest;
    private readonly IDomain _domain;

    public FaultTests()
    {
        _guest = _model.CreateDomain(new ModelDomainOptions { Name = "guest", Workload = new StepperWorkload() });
        _domain = _model.OpenDomain(_guest.Uuid);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _domain.Dispose();
        _model.Dispose();
    }

    [Theory]
    [InlineData(ModelFault.SuspendNotAcknowledged, SuspendStage.Acknowledge, 0)]
    [InlineData(ModelFault.SuspendNotCompleted, SuspendStage.Suspend, 0)]
    [InlineData(ModelFault.SuspendDuringWithdrawal, SuspendStage.Suspend, 1)]
    public async Task A_guest_that_does_not_suspend_runs_on(ModelFault fault, SuspendStage stage, int suspensions)
    {
        _guest.Arm(fault);

        var e = await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Short, Cancellation));

        Assert.Equal(stage, e.Stage);
        Assert.Equal(1, _guest.FaultsStruck(fault));
        Assert.Equal(suspensions, _guest.Suspensions);
        Assert.Null(_domain.GetInfo().ShutdownReason);
        Assert.Equal(10, _guest.Step(10));

        await _domain.SuspendAsync(Long, Cancellation);
        Assert.Equal(0, _guest.Step());
        _domain.Resume();
        Assert.Equal(1, _guest.Step());
        Assert.Null(StepperWorkload.Verify(_guest.View));
    }

    [Fact]
    public async Task A_persistent_fault_strikes_until_it_is_disarmed()
    {
        _guest.Arm(ModelFault.SuspendNotAcknowledged, persistent: true);
        for (int i = 1; i <= 2; i++)
        {
            await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Short, Cancellation));
            Assert.Equal(i, _guest.FaultsStruck(ModelFault.SuspendNotAcknowledged));
        }

        _guest.Disarm(ModelFault.SuspendNotAcknowledged);
        await _domain.SuspendAsync(Long, Cancellation);
    }

    [Fact]
    public async Task A_guest_may_suspend_after_its_request_was_given_up()
    {
        _guest.Arm(ModelFault.SuspendAfterWithdrawal);
        await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Short, Cancellation));
        Assert.Null(_domain.GetInfo().ShutdownReason);

        Assert.Equal(0, _guest.Step(5));
        Assert.Equal(ShutdownReason.Suspend, _domain.GetInfo().ShutdownReason);
        _domain.Resume();
        Assert.Equal(5, _guest.Step(5));
        await _domain.SuspendAsync(Long, Cancellation);
    }

    [Fact]
    public async Task A_guest_that_crashes_while_suspending_fails_the_attempt_and_is_not_resumed()
    {
        _guest.Arm(ModelFault.CrashDuringSuspend);

        var e = await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Long, Cancellation));

        Assert.Equal(SuspendStage.Suspend, e.Stage);
        _domain.Resume();
        Assert.Equal(ShutdownReason.Crash, _domain.GetInfo().ShutdownReason);
        e = await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Long, Cancellation));
        Assert.Equal(SuspendStage.Request, e.Stage);
    }

    [Fact]
    public async Task A_cancelled_attempt_asks_the_guest_for_nothing()
    {
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => _domain.SuspendAsync(Long, new CancellationToken(canceled: true)));

        Assert.Equal(0, _guest.Suspensions);
        Assert.Equal(1, _guest.Step());
    }

    [Fact]
    public async Task A_paused_guest_does_not_acknowledge()
    {
        _guest.Pause();
        Assert.Equal(0, _guest.Step());
        var e = await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Short, Cancellation));
        Assert.Equal(SuspendStage.Acknowledge, e.Stage);
        Assert.Equal(DomainStates.Paused, _domain.GetInfo().State);

        _guest.Unpause();
        await _domain.SuspendAsync(Long, Cancellation);
    }

    [Fact]
    public async Task A_second_request_to_suspend_is_refused_and_the_first_goes_on()
    {
        _guest.Pause();
        Task first = _domain.SuspendAsync(Long, Cancellation);
        var e = await Assert.ThrowsAsync<SuspendFailedException>(() => _domain.SuspendAsync(Short, Cancellation));
        Assert.Equal(SuspendStage.Request, e.Stage);

        _guest.Unpause();
        await first;
        Assert.Equal(ShutdownReason.Suspend, _domain.GetInfo().ShutdownReason);
    }

    [Fact]
    public void Pages_that_cannot_be_copied_are_unread_and_zero()
    {
        _guest.Step(100);
        _guest.Arm(ModelFault.CopyFailure, pages: new PfnRun(17, 2));
        byte[] pages = new byte[4 * ModelGuest.PageSize];
        pages.AsSpan().Fill(0xAA);
        var unread = new List<long>();

        Assert.Equal(1, _domain.CopyPages([new PfnRun(100, 1)], pages, unread));
        Assert.Equal(2, _domain.CopyPages([new PfnRun(16, 4)], pages, unread));
        Assert.Equal([17, 18], unread);
        Assert.False(pages.AsSpan(ModelGuest.PageSize, 2 * ModelGuest.PageSize).ContainsAnyExcept((byte)0));

        Assert.Equal(4, _domain.CopyPages([new PfnRun(16, 4)], pages, unread));
        Assert.Empty(unread);
    }

    [Fact]
    public void A_log_stolen_by_a_save_is_lost_and_stays_lost()
    {
        using (IDirtyLog log = _domain.StartDirtyLog())
        {
            _guest.Step();
            _guest.Arm(ModelFault.DirtyLogStolen);
            Assert.Throws<DirtyLogLostException>(() => log.Clean());
            Assert.Throws<DirtyLogLostException>(() => log.Peek());
        }

        using IDirtyLog next = _domain.StartDirtyLog();
        _guest.Step();
        Assert.NotEqual(-1, next.Peek().Words.IndexOfAnyExcept(0UL));
    }

    [Fact]
    public void Closing_a_lost_log_does_not_end_the_log_of_its_new_owner()
    {
        IDirtyLog log = _domain.StartDirtyLog();
        _guest.StealDirtyLog();
        Assert.Equal(0, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        Assert.Throws<DirtyLogLostException>(() => log.Clean());

        log.Dispose();

        Assert.Equal(-22, _guest.ShadowControl(ShadowOp.EnableLogDirty));
        Assert.Throws<DirtyLogBusyException>(_domain.StartDirtyLog);
    }

    [Theory]
    [InlineData("copy")]
    [InlineData("start log")]
    [InlineData("clean")]
    [InlineData("suspend")]
    [InlineData("capture")]
    public async Task A_domain_destroyed_under_an_operation_is_gone(string operation)
    {
        IDirtyLog log = operation == "start log" ? null! : _domain.StartDirtyLog();
        if (operation == "capture")
        {
            await _domain.SuspendAsync(Long, Cancellation);
        }

        _guest.Arm(ModelFault.DestroyedDuringOperation);

        await Assert.ThrowsAsync<DomainNotFoundException>(() => operation switch
        {
            "copy" => Task.FromResult(
                _domain.CopyPages([new PfnRun(0, 2)], new byte[2 * ModelGuest.PageSize], new List<long>())),
            "start log" => Task.FromResult(_domain.StartDirtyLog()),
            "clean" => Task.FromResult(log.Clean().PfnCount),
            "suspend" => _domain.SuspendAsync(Long, Cancellation),
            _ => Task.FromResult(_domain.CaptureRegisters()),
        });

        Assert.Throws<DomainNotFoundException>(_domain.GetInfo);
        Assert.Throws<DomainNotFoundException>(() => _domain.GetPfnCount());
        Assert.Throws<DomainNotFoundException>(() => _model.OpenDomain(_guest.Uuid));
        Assert.Single(_model.ListDomains(Cancellation));
        log?.Dispose();
    }

    [Fact(Timeout = 300_000)]
    public async Task Destroying_a_domain_while_it_is_copied_is_safe()
    {
        byte[] buffer = new byte[1024 * ModelGuest.PageSize];
        var unread = new List<long>();
        var started = new TaskCompletionSource();
        Task copier = Task.Run(
            () =>
            {
                while (true)
                {
                    _domain.CopyPages([new PfnRun(0, 1024)], buffer, unread);
                    started.TrySetResult();
                }
            },
            Cancellation);

        await started.Task.WaitAsync(TestContext.Current.CancellationToken);
        _guest.Destroy();

        await Assert.ThrowsAsync<DomainNotFoundException>(() => copier);
    }
}
