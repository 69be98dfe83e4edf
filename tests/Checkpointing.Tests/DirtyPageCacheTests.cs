using XenTwoLevelCkpt.Checkpointing.Cache;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

public class DirtyPageCacheTests
{
    [Fact]
    public void The_page_whose_last_dirtying_lies_furthest_back_falls_out()
    {
        var cache = new DirtyPageCache(3);
        Assert.False(cache.Touch(1, out _));
        Assert.False(cache.Touch(2, out _));
        Assert.False(cache.Touch(3, out _));
        Assert.False(cache.Touch(1, out _));
        Assert.True(cache.Touch(4, out long evicted));
        Assert.Equal(2, evicted);
        Assert.Equal([3L, 1, 4], Pages(cache));
        Assert.Equal((1, 4, 1), (cache.Hits, cache.Misses, cache.Evictions));
    }

    // Against a list that is searched from end to end. Few pages over a small table make long probe sequences, and a
    // random mix of operations takes entries out of the middle of them.
    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 5)]
    [InlineData(7, 12)]
    [InlineData(64, 100)]
    [InlineData(100, 1_000_000)]
    public void Behaves_as_a_list_in_order_of_last_dirtying(int capacity, int pages)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var cache = new DirtyPageCache(capacity);
            var model = new List<long>();
            for (int i = 0; i < 3000; i++)
            {
                // Neighbouring pages and pages far apart; some at the upper end of what a page number can be.
                long page = random.Next(pages) * (seed % 3 == 0 ? 1L : 4093) + (seed % 5 == 0 ? 0xFFFFFFFF - (4093L * pages) : 0);
                page = Math.Clamp(page, 0, 0xFFFFFFFF);
                switch (random.Next(12))
                {
                    case 0:
                        Assert.Equal(model.Remove(page), cache.Remove(page));
                        break;
                    case 1:
                        Assert.Equal(model.Count > 0, cache.TryEvict(out long oldest));
                        if (model.Count > 0)
                        {
                            Assert.Equal(model[0], oldest);
                            model.RemoveAt(0);
                        }

                        break;
                    default:
                        bool hit = model.Remove(page);
                        model.Add(page);
                        Assert.Equal(!hit && model.Count > capacity, cache.Touch(page, out long evicted));
                        if (model.Count > capacity)
                        {
                            Assert.Equal(model[0], evicted);
                            model.RemoveAt(0);
                        }

                        break;
                }

                Assert.Equal(model.Count, cache.Count);
                Assert.Equal(model.Contains(page), cache.Contains(page));
            }

            Assert.Equal(model, Pages(cache));
        }
    }

    [Fact]
    public void Of_one_sample_the_pages_that_were_in_the_cache_count_as_dirtied_last()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            var random = new Random(seed);
            const int Capacity = 40;
            var cache = new DirtyPageCache(Capacity);
            var model = new List<long>();
            for (int sample = 0; sample < 60; sample++)
            {
                cache.BeginSample();
                var hits = new List<long>();
                var misses = new List<long>();
                foreach (long page in Enumerable.Range(0, 100).Where(_ => random.Next(6) == 0).Select(p => p * 4093L))
                {
                    bool hit = model.Remove(page) || hits.Remove(page) || misses.Remove(page);
                    Assert.Equal(hit, cache.Contains(page));
                    (hit ? hits : misses).Add(page);
                    Assert.Equal(
                        model.Count + hits.Count + misses.Count > Capacity, cache.TouchInSample(page, out long evicted));
                    if (model.Count + hits.Count + misses.Count > Capacity)
                    {
                        Assert.Equal(model[0], evicted);
                        model.RemoveAt(0);
                    }
                }

                model = [.. model, .. misses, .. hits];
                Assert.Equal(model, Pages(cache));
            }
        }
    }

    [Fact]
    public void A_lower_limit_takes_effect_by_evicting()
    {
        var cache = new DirtyPageCache(8);
        for (int i = 0; i < 8; i++)
        {
            _ = cache.Touch(i, out _);
        }

        cache.Limit = 2;
        while (cache.Count > cache.Limit)
        {
            Assert.True(cache.TryEvict(out _));
        }

        Assert.Equal([6L, 7], Pages(cache));
        Assert.True(cache.Touch(9, out long evicted));
        Assert.Equal(6, evicted);
    }

    [Fact]
    public void Without_entries_each_page_falls_out_at_once()
    {
        var cache = new DirtyPageCache(0);
        Assert.True(cache.Touch(5, out long evicted));
        Assert.Equal(5, evicted);
        Assert.Empty(Pages(cache));
    }

    [Theory]
    [InlineData(1000)]
    [InlineData(1 << 20)]
    public void Takes_at_most_16_bytes_an_entry(int capacity) =>
        Assert.InRange(new DirtyPageCache(capacity).SizeInBytes, 0, (16L * capacity) + 16);

    [Fact]
    public void Allocates_nothing_after_construction()
    {
        var cache = new DirtyPageCache(1000);
        var random = new Random(1);
        Work(cache, random, 2000);

        // More than once: the runtime itself may allocate when it replaces code that runs often. The cache would each time.
        long least = long.MaxValue;
        for (int i = 0; i < 3; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Work(cache, random, 200_000);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1L << 32)]
    public void A_page_number_out_of_range_is_refused(long page)
    {
        var cache = new DirtyPageCache(4);
        Assert.Throws<OverflowException>(() => cache.Touch(page, out _));
        Assert.False(cache.Contains(page));
        Assert.False(cache.Remove(page));
    }

    private static void Work(DirtyPageCache cache, Random random, int touches)
    {
        for (int i = 0; i < touches; i++)
        {
            _ = cache.Touch(random.Next(5000), out _);
        }

        foreach (long page in cache)
        {
            _ = cache.Contains(page);
        }
    }

    private static List<long> Pages(DirtyPageCache cache)
    {
        var pages = new List<long>();
        foreach (long page in cache)
        {
            pages.Add(page);
        }

        return pages;
    }
}
