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
    public void An_intersection_has_what_both_have()
    {
        var within = new PageSet(70);
        var set = new PageSet(70);
        Array.ForEach([1L, 3, 4, 69], p => within.Add(p));
        _ = set.Add(60);
        Assert.Equal(2, set.SetToIntersection(new DirtyBitmap([1UL << 1 | 1UL << 2, 1UL << 5], 70), within));
        Assert.Equal([1L, 69], Pages(set));
        Assert.Equal(2, set.View.CountPages());
    }

    [Fact]
    public void Sets_over_holes_are_what_plain_sets_are()
    {
        // Several words of the summary, the last one not full, and pages in few of its blocks.
        const long Count = (64 * 64 * 64 * 2) + 4096 + 77;
        var random = new Random(7);
        long[] places = [0, 4095, 4096, 64 * 64 * 64, (64 * 64 * 64) - 1, Count - 78, Count - 1];
        var set = new PageSet(Count);
        for (int round = 0; round < 50; round++)
        {
            (PageSet within, HashSet<long> plainWithin) = Some();
            (PageSet dirty, HashSet<long> plainDirty) = Some();
            long count = set.SetToIntersection(dirty.View, within);
            long[] expected = [.. plainDirty.Intersect(plainWithin).Order()];
            Assert.Equal(expected, Pages(set));
            Assert.Equal(expected.Length, count);
            if (round % 3 == 0)
            {
                Assert.True(set.Add(places[1] - 1) ^ expected.Contains(places[1] - 1));
                set.Clear();
                Assert.Empty(Pages(set));
            }
        }

        (PageSet, HashSet<long>) Some()
        {
            var pages = new PageSet(Count);
            var plain = new HashSet<long>();
            for (int i = 0; i < 40; i++)
            {
                long pfn = Math.Clamp(places[random.Next(places.Length)] + random.Next(-8, 8), 0, Count - 1);
                Assert.Equal(plain.Add(pfn), pages.Add(pfn));
                if (random.Next(4) == 0)
                {
                    Assert.Equal(plain.Remove(pfn + 1), pfn + 1 < Count && pages.Remove(pfn + 1));
                }
            }

            return (pages, plain);
        }
    }

    [Fact]
    public void Sets_of_another_size_are_rejected()
    {
        var set = new PageSet(70);
        var other = new PageSet(71);
        Assert.Throws<ArgumentException>(() => set.SetToIntersection(new DirtyBitmap([0, 0], 71), set));
        Assert.Throws<ArgumentException>(() => set.SetToIntersection(set.View, other));
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

    private static long[] Pages(PageSet set)
    {
        var pages = new List<long>();
        foreach (PfnRun run in set.View.EnumerateRuns())
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                pages.Add(pfn);
            }
        }

        return [.. pages];
    }
}
