using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Memory;

public class PageSetTests
{
    [Fact]
    public void Pages_come_and_go()
    {
        var set = new PageSet(100);
        Assert.True(set.Add(99));
        Assert.False(set.Add(99));
        Assert.True(set.Add(63));
        Assert.True(set.Add(64));
        Assert.Equal(3, set.View.CountPages());
        Assert.True(set.View[63]);
        Assert.True(set.Remove(64));
        Assert.False(set.Remove(64));
        Assert.False(set.View[64]);
        Assert.True(set.View[63]);
        set.Clear();
        Assert.Equal(0, set.View.CountPages());
    }

    [Fact]
    public void A_bitmap_is_added_to_what_is_there()
    {
        var set = new PageSet(70);
        set.Add(1);
        set.Add(new DirtyBitmap([1UL << 1 | 1UL << 3, 1UL << 5], 70));
        Assert.Equal(3, set.View.CountPages());
        Assert.True(set.View[3]);
        Assert.True(set.View[69]);
    }

    [Fact]
    public void A_bitmap_of_another_size_is_rejected()
    {
        var set = new PageSet(70);
        Assert.Throws<ArgumentException>(() => set.Add(new DirtyBitmap([0, 0], 71)));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(100)]
    public void A_page_outside_is_rejected(long pfn)
    {
        var set = new PageSet(100);
        Assert.Throws<ArgumentOutOfRangeException>(() => set.Add(pfn));
        Assert.Throws<ArgumentOutOfRangeException>(() => set.Remove(pfn));
    }
}
