using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public sealed class ReadinessWaitTests : IDisposable
{
    private readonly int _event = EventDescriptor.Make();

    // Any handle: the wait only keeps it open.
    private readonly AnonymousMapping _owner = new(4096);

    public void Dispose()
    {
        _owner.Dispose();
        _ = LibC.close(_event);
    }

    [Fact]
    public void A_readable_descriptor_is_seen_without_waiting()
    {
        Assert.True(EventDescriptor.Set(_event));
        Assert.True(ReadinessWait.Wait(_owner, _event, TimeSpan.Zero, CancellationToken.None));
        Assert.True(ReadinessWait.Wait(
            _owner, _event, Timeout.InfiniteTimeSpan, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_silent_descriptor_times_out()
    {
        Assert.False(ReadinessWait.Wait(_owner, _event, TimeSpan.Zero, CancellationToken.None));
        Assert.False(ReadinessWait.Wait(
            _owner, _event, TimeSpan.FromMilliseconds(5), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_descriptor_that_becomes_readable_ends_the_wait()
    {
        Task<bool> wait = Task.Run(
            () => ReadinessWait.Wait(_owner, _event, Timeout.InfiniteTimeSpan, CancellationToken.None),
            TestContext.Current.CancellationToken);
        Assert.True(EventDescriptor.Set(_event));
        Assert.True(await wait);
    }

    [Fact]
    public async Task Cancellation_ends_an_endless_wait()
    {
        // Late enough that the wait has begun, almost always; a wait that begins later is refused with the same result.
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        Task<bool> wait = Task.Run(
            () => ReadinessWait.Wait(_owner, _event, Timeout.InfiniteTimeSpan, cancel.Token),
            TestContext.Current.CancellationToken)
            .WaitAsync(TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait);
    }
}
