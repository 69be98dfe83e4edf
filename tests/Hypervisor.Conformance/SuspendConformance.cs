using System.Diagnostics;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>Suspending, resuming and capturing registers.</summary>
public abstract class SuspendConformance : ConformanceFacts
{
    [Fact]
    public async Task A_suspended_guest_is_shut_down_for_suspend_and_stands_still()
    {
        await LetRunAsync();
        await SuspendAsync();

        AssertSuspended();
        long progress = Target.Progress;
        await WatchAsync();
        Assert.Equal(progress, Target.Progress);
    }

    [Fact]
    public async Task A_resumed_guest_goes_on()
    {
        await SuspendAsync();
        long progress = Target.Progress;
        Domain.Resume();

        Assert.False(Domain.GetInfo().State.HasFlag(DomainStates.Shutdown));
        Assert.Null(Domain.GetInfo().ShutdownReason);
        await LetRunAsync();
        Assert.True(Target.Progress > progress);
    }

    [Fact]
    public async Task Resuming_a_running_guest_does_nothing()
    {
        Domain.Resume();
        Domain.Resume();

        await LetRunAsync();
        await SuspendAsync();
        AssertSuspended();
    }

    [Fact]
    public async Task Five_suspensions_in_a_row_keep_the_guest_going()
    {
        for (int i = 0; i < 5; i++)
        {
            await SuspendAsync();
            AssertSuspended();
            Domain.Resume();
            await LetRunAsync();
        }
    }

    [Fact]
    public async Task A_cancelled_attempt_leaves_the_guest_running()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Domain.SuspendAsync(Target.SuspendTimeout, cancelled.Token));

        await AssertHealthyAsync();
    }

    /// <summary>Cancelled at any moment an attempt has one of two ends: the guest is suspended, or it runs.</summary>
    [Fact]
    public async Task An_attempt_cancelled_under_way_ends_suspended_or_running()
    {
        using var cancelled = new CancellationTokenSource();
        Task attempt = Domain.SuspendAsync(Target.SuspendTimeout, cancelled.Token);
        await cancelled.CancelAsync();

        await AssertEndsSuspendedOrRunningAsync<OperationCanceledException>(attempt);
    }

    [Fact]
    public async Task An_attempt_with_a_tiny_timeout_ends_suspended_or_running() =>
        await AssertEndsSuspendedOrRunningAsync<SuspendFailedException>(
            Domain.SuspendAsync(TimeSpan.FromTicks(1), Cancellation));

    [Fact]
    public async Task Nothing_is_undone_where_nobody_asked()
    {
        Assert.Equal(SuspendRemains.None, Domain.UndoSuspend());
        await SuspendAsync();
        Domain.Resume();
        Assert.Equal(SuspendRemains.None, Domain.UndoSuspend());
        await AssertHealthyAsync();
    }

    [Fact]
    public async Task A_suspension_that_is_undone_lets_the_guest_go_on()
    {
        await SuspendAsync();
        Assert.Equal(SuspendRemains.Resumed, Domain.UndoSuspend());
        Assert.Null(Domain.GetInfo().ShutdownReason);
        await AssertHealthyAsync();
    }

    [Fact]
    public async Task A_guest_that_another_program_suspended_is_left_alone()
    {
        Target.AskFromOutside();
        long start = Stopwatch.GetTimestamp();
        while (Domain.GetInfo().ShutdownReason is null)
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Target.SuspendTimeout, "The guest does not suspend.");
            Assert.Equal(SuspendRemains.None, Domain.UndoSuspend());
            await Task.Delay(1, Cancellation);
        }

        Assert.Equal(SuspendRemains.None, Domain.UndoSuspend());
        AssertSuspended();
        Domain.Resume();
        await AssertHealthyAsync();
    }

    [Fact]
    public async Task A_request_that_is_undone_under_way_leaves_the_guest_running()
    {
        for (int i = 0; i < 5; i++)
        {
            using var other = new CancellationTokenSource();
            Task attempt = Domain.SuspendAsync(Target.SuspendTimeout, other.Token);
            await Task.Delay(i, Cancellation);
            long start = Stopwatch.GetTimestamp();
            while (Domain.UndoSuspend() == SuspendRemains.MayFollow)
            {
                Assert.True(Stopwatch.GetElapsedTime(start) < Target.SuspendTimeout, "The guest does not suspend.");
                await Task.Delay(1, Cancellation);
            }

            // Whoever waits for the request that was undone has nothing to wait for.
            await other.CancelAsync();
            _ = await Record.ExceptionAsync(() => attempt);
            Domain.Resume();
            await AssertHealthyAsync();
        }
    }

    [Fact]
    public async Task A_timeout_has_to_be_positive()
    {
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Domain.SuspendAsync(TimeSpan.Zero, Cancellation));
        await LetRunAsync();
    }

    [Fact]
    public async Task A_suspended_guest_cannot_be_suspended_again_and_stays_suspended()
    {
        await SuspendAsync();

        var e = await Assert.ThrowsAsync<SuspendFailedException>(SuspendAsync);

        Assert.Equal(SuspendStage.Request, e.Stage);
        AssertSuspended();
    }

    [Fact]
    public void Registers_of_a_running_guest_are_refused() =>
        Assert.Throws<InvalidOperationException>(Domain.CaptureRegisters);

    [Fact]
    public async Task Registers_of_a_suspended_guest_are_there_and_but_for_clocks_the_same_when_captured_twice()
    {
        await SuspendAsync();
        DomainRegisters first = Domain.CaptureRegisters();
        DomainRegisters second = Domain.CaptureRegisters();

        Assert.Equal(first.HvmContext.Length, second.HvmContext.Length);
        int differing = first.HvmContext.ToArray().Zip(second.HvmContext.ToArray()).Count(static b => b.First != b.Second);
        Assert.InRange(differing, 0, Target.Allowances.ClockBytes);
        Assert.Equal(first.HvmParameters.OrderBy(static p => p.Key), second.HvmParameters.OrderBy(static p => p.Key));
        Assert.Equal((first.Tsc.Mode, first.Tsc.KiloHertz), (second.Tsc.Mode, second.Tsc.KiloHertz));
        Assert.Equal(Domain.Kind == GuestKind.Pv, first.HvmContext.IsEmpty);
        Assert.DoesNotContain(first.HvmParameters, static p => p.Value == 0);
    }

    [Fact]
    public async Task Registers_of_different_moments_differ()
    {
        Assert.SkipWhen(Domain.Kind == GuestKind.Pv, "A PV guest has no HVM context.");
        await SuspendAsync();
        DomainRegisters before = Domain.CaptureRegisters();
        Domain.Resume();
        await LetRunAsync();
        await SuspendAsync();

        Assert.NotEqual(before.HvmContext.ToArray(), Domain.CaptureRegisters().HvmContext.ToArray());
    }

    private void AssertSuspended()
    {
        DomainInfo info = Domain.GetInfo();
        Assert.True(info.State.HasFlag(DomainStates.Shutdown));
        Assert.Equal(ShutdownReason.Suspend, info.ShutdownReason);
    }

    private async Task AssertEndsSuspendedOrRunningAsync<TFailure>(Task attempt)
        where TFailure : Exception
    {
        Exception? failure = await Record.ExceptionAsync(() => attempt);
        if (failure is null)
        {
            AssertSuspended();
            Domain.Resume();
        }
        else
        {
            Assert.IsAssignableFrom<TFailure>(failure);
        }

        await AssertHealthyAsync();
    }

    /// <summary>The guest runs, and an ordinary suspension works. A guest that suspended while the request was being
    /// withdrawn is resumed, which may take a moment.</summary>
    private async Task AssertHealthyAsync()
    {
        long start = Stopwatch.GetTimestamp();
        while (Domain.GetInfo().State.HasFlag(DomainStates.Shutdown))
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Target.SuspendTimeout, "The guest is left suspended.");
            await Task.Delay(20, Cancellation);
        }

        await LetRunAsync();
        await SuspendAsync();
        AssertSuspended();
        Domain.Resume();
        await LetRunAsync();
    }

    /// <summary>Gives a guest that should stand still the time to betray itself: a look at all of its memory,
    /// twice, where it must not change.</summary>
    private async Task WatchAsync()
    {
        if (Domain.CanCopyPages)
        {
            PageDigests before = PageDigests.Of(Domain);
            Assert.Empty(PageDigests.Of(Domain).ChangedSince(before));
        }
        else
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100), Cancellation);
        }
    }
}
