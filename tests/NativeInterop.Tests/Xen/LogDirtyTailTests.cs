using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class LogDirtyTailTests
{
    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(63UL)]
    [InlineData(64UL)]
    [InlineData(65UL)]
    [InlineData(100UL)]
    [InlineData(128UL)]
    public void What_a_buffer_held_before_does_not_become_a_dirty_page(ulong pages)
    {
        ulong[] words = [ulong.MaxValue, ulong.MaxValue, ulong.MaxValue];
        XenInterface.ClearTail(words, pages);
        var bitmap = new DirtyBitmap(words.AsSpan(0, DirtyBitmap.WordsFor((long)pages)), (long)pages);
        Assert.Equal((long)pages, bitmap.CountPages());
        Assert.Equal(ulong.MaxValue, words[2]);
    }
}
