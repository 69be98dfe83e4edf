using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>What one guest may send: times are in milliseconds.</summary>
public sealed class FrameGuardTests
{
    private const ulong Own = 0x00163E000001, Other = 0x00163E000002, Stranger = 0x020000000001;

    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(300);

    [Fact]
    public void A_guest_that_floods_takes_nothing_from_another()
    {
        var guard = new FrameGuard(10, 4, Lifetime);
        guard.Know([Own, Other]);
        Assert.Equal(10, Enumerable.Range(0, 1000).Count(_ => guard.Admits(Own, toAll: true, Ms(0))));
        Assert.True(guard.Admits(Other, toAll: true, Ms(0)));
        Assert.True(guard.Admits(Own, toAll: false, Ms(0)));
        Assert.Equal((990, 0), guard.Dropped);

        // A tenth of a second is one frame's.
        Assert.False(guard.Admits(Own, toAll: true, Ms(99)));
        Assert.True(guard.Admits(Own, toAll: true, Ms(101)));
        Assert.False(guard.Admits(Own, toAll: true, Ms(102)));

        // However long it was silent, it has a second's frames.
        Assert.Equal(10, Enumerable.Range(0, 100).Count(_ => guard.Admits(Own, toAll: true, Ms(1_000_000))));
    }

    [Fact]
    public void Addresses_that_a_guest_makes_up_have_one_allowance_and_one_room()
    {
        var guard = new FrameGuard(10, 4, Lifetime);
        guard.Know([Own]);
        Assert.Equal(4, Enumerable.Range(0, 1000).Count(i => guard.Admits(Stranger + (ulong)i, toAll: true, Ms(0))));
        Assert.Equal((0, 996), guard.Dropped);
        Assert.Equal(6, Enumerable.Range(0, 100).Count(_ => guard.Admits(Stranger, toAll: true, Ms(0))));
        Assert.True(guard.Admits(Own, toAll: true, Ms(0)));
        Assert.True(guard.Admits(Stranger + 1, toAll: false, Ms(200_000)));

        // One that was silent for long makes room for another, and the one that was heard does not.
        Assert.False(guard.Admits(Stranger + 9, toAll: false, Ms(299_999)));
        Assert.True(guard.Admits(Stranger + 9, toAll: false, Ms(300_000)));
        Assert.True(guard.Admits(Stranger + 1, toAll: false, Ms(300_000)));
        Assert.True(guard.Admits(Stranger + 10, toAll: false, Ms(300_000)));
        Assert.True(guard.Admits(Stranger + 11, toAll: false, Ms(300_000)));
        Assert.False(guard.Admits(Stranger + 12, toAll: false, Ms(300_000)));
    }

    [Fact]
    public void Before_the_guests_are_known_nobody_is_a_stranger_and_all_share_one_allowance()
    {
        var guard = new FrameGuard(10, 1, Lifetime);
        Assert.All(Enumerable.Range(0, 100), i => Assert.True(guard.Admits(Stranger + (ulong)i, toAll: false, Ms(0))));
        Assert.Equal(10, Enumerable.Range(0, 100).Count(i => guard.Admits(Own + (ulong)i, toAll: true, Ms(0))));
    }

    [Fact]
    public void A_guest_keeps_what_it_has_left_when_another_comes()
    {
        var guard = new FrameGuard(10, 4, Lifetime);
        guard.Know([Own]);
        while (guard.Admits(Own, toAll: true, Ms(0)))
        {
        }

        guard.Know([Own, Other, Own]);
        Assert.False(guard.Admits(Own, toAll: true, Ms(0)));
        Assert.True(guard.Admits(Other, toAll: true, Ms(0)));
    }

    [Fact]
    public void Without_a_limit_strangers_have_their_room_alone()
    {
        var guard = new FrameGuard(null, 1, Lifetime);
        guard.Know([Own]);
        Assert.All(Enumerable.Range(0, 10_000), _ => Assert.True(guard.Admits(Own, toAll: true, Ms(0))));
        Assert.True(guard.Admits(Stranger, toAll: true, Ms(0)));
        Assert.False(guard.Admits(Stranger + 1, toAll: true, Ms(0)));
    }

    private static TimeSpan Ms(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
