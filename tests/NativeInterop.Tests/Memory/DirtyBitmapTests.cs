using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Memory;

public class DirtyBitmapTests
{
    // Lengths around words and the widest vectors (512 bits), and some in between.
    private static readonly Gen<int> Sizes = Gen.OneOf(
        Gen.Elements(0, 1, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 4096 + 17), Gen.Choose(0, 9000));

    // Stretches of one kind and random length, so that runs begin and end everywhere; `noise` flips single bits.
    private static readonly Gen<bool[]> Bitmaps =
        from size in Sizes
        from seed in Gen.Choose(0, int.MaxValue)
        from longest in Gen.Elements(1, 3, 40, 64, 130, 700, 5000)
        from noise in Gen.Elements(0, 0, 1, 50)
        select Stretches(size, new Random(seed), longest, noise);

    public static TheoryData<int> AllSizes => new(0, 1, 63, 64, 65, 512, 513, 1000);

    [Fact]
    public void Runs_are_those_of_a_bit_by_bit_loop() => Prop.ForAll(
        Arb.From(Bitmaps),
        bits => Assert.Equal(NaiveRuns(bits, 0, int.MaxValue), Collect(Pack(bits), bits.Length, 0, int.MaxValue)))
        .Check(Many);

    [Fact]
    public void Runs_begin_anywhere_and_are_cut_to_any_length() => Prop.ForAll(
        Arb.From(
            from bits in Bitmaps
            from first in Gen.Choose(0, bits.Length)
            from max in Gen.Elements(1, 2, 63, 64, 65, 100, 1024)
            select (bits, first, max)),
        c => Assert.Equal(
            NaiveRuns(c.bits, c.first, c.max), Collect(Pack(c.bits), c.bits.Length, c.first, c.max)))
        .Check(Many);

    [Fact]
    public void Batches_together_are_all_dirty_pages_and_each_keeps_its_bounds() => Prop.ForAll(
        Arb.From(
            from bits in Bitmaps
            from runs in Gen.Choose(1, 9)
            from pages in Gen.Elements(1, 7, 64, 256, int.MaxValue)
            select (bits, runs, pages)),
        c =>
        {
            ulong[] words = Pack(c.bits);
            var all = new List<long>();
            long position = 0;
            Span<PfnRun> batch = stackalloc PfnRun[9];
            while (true)
            {
                int count = new DirtyBitmap(words, c.bits.Length).CopyRuns(ref position, batch[..c.runs], c.pages);
                if (count == 0)
                {
                    break;
                }

                long pages = 0;
                foreach (PfnRun run in batch[..count])
                {
                    pages += run.Count;
                    for (long pfn = run.First; pfn < run.End; pfn++)
                    {
                        all.Add(pfn);
                    }
                }

                Assert.InRange(pages, 1, c.pages);
            }

            Assert.Equal(c.bits.Length, position);
            Assert.Equal(Enumerable.Range(0, c.bits.Length).Where(i => c.bits[i]).Select(i => (long)i), all);
        }).Check(Many);

    [Fact]
    public void Count_is_that_of_a_bit_by_bit_loop() => Prop.ForAll(
        Arb.From(Bitmaps),
        bits => Assert.Equal(bits.Count(b => b), new DirtyBitmap(Pack(bits), bits.Length).CountPages()))
        .Check(Many);

    [Fact]
    public void The_indexer_reads_every_bit() => Prop.ForAll(
        Arb.From(Bitmaps),
        bits =>
        {
            var bitmap = new DirtyBitmap(Pack(bits), bits.Length);
            for (int i = 0; i < bits.Length; i++)
            {
                Assert.Equal(bits[i], bitmap[i]);
            }
        }).Check(Many);

    [Theory]
    [MemberData(nameof(AllSizes))]
    public void A_clean_bitmap_has_no_runs(int size) =>
        Assert.Empty(Collect(new ulong[DirtyBitmap.WordsFor(size)], size, 0, int.MaxValue));

    [Theory]
    [MemberData(nameof(AllSizes))]
    public void A_full_bitmap_is_one_run(int size)
    {
        bool[] bits = new bool[size];
        Array.Fill(bits, true);
        PfnRun[] expected = size == 0 ? [] : [new PfnRun(0, size)];
        Assert.Equal(expected, Collect(Pack(bits), size, 0, int.MaxValue));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    [InlineData(64, 2)]
    [InlineData(65, 1)]
    [InlineData(1_044_480, 16_321)]
    public void A_bitmap_of_the_wrong_size_is_rejected(long pfnCount, int words) =>
        Assert.Throws<ArgumentException>(() => new DirtyBitmap(new ulong[words], pfnCount));

    [Theory]
    [InlineData(1, 1)]
    [InlineData(63, 63)]
    [InlineData(65, 1)]
    [InlineData(100, 63)]
    public void A_bit_behind_the_last_page_is_rejected(long pfnCount, int bit)
    {
        ulong[] words = new ulong[DirtyBitmap.WordsFor(pfnCount)];
        words[^1] = 1UL << bit;
        ArgumentException e = Assert.Throws<ArgumentException>(() => new DirtyBitmap(words, pfnCount));
        Assert.Contains($"{pfnCount} pages", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_last_page_is_accepted()
    {
        ulong[] words = [0, 1UL << 35];
        Assert.Equal([new PfnRun(99, 1)], Collect(words, 100, 0, int.MaxValue));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(100)]
    [InlineData(long.MaxValue)]
    public void A_page_outside_is_rejected(long pfn) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new DirtyBitmap(new ulong[2], 100)[pfn]);

    [Fact]
    public void Finding_runs_allocates_nothing()
    {
        bool[] bits = Stretches(100_000, new Random(1), 130, 1);
        ulong[] words = Pack(bits);
        Walk(words, bits.Length);

        // More than once: the runtime itself may allocate when it replaces code that runs often. The walk would each time.
        long least = long.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Walk(words, bits.Length);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    private static Config Many => Properties.Quiet.WithMaxTest(500);

    private static long Walk(ulong[] words, int size)
    {
        var bitmap = new DirtyBitmap(words, size);
        long pages = 0;
        foreach (PfnRun run in bitmap.EnumerateRuns())
        {
            pages += run.Count;
        }

        return pages;
    }

    private static List<PfnRun> Collect(ulong[] words, long size, long first, int max)
    {
        var runs = new List<PfnRun>();
        foreach (PfnRun run in new DirtyBitmap(words, size).EnumerateRuns(first, max))
        {
            runs.Add(run);
        }

        return runs;
    }

    private static List<PfnRun> NaiveRuns(bool[] bits, int first, int max)
    {
        var runs = new List<PfnRun>();
        for (int i = first; i < bits.Length;)
        {
            int end = i;
            while (end < bits.Length && bits[end] && end - i < max)
            {
                end++;
            }

            if (end > i)
            {
                runs.Add(new PfnRun(i, end - i));
            }

            i = Math.Max(end, i + 1);
        }

        return runs;
    }

    private static bool[] Stretches(int size, Random random, int longest, int noise)
    {
        bool[] bits = new bool[size];
        bool value = random.Next(2) == 0;
        for (int i = 0; i < size; value = !value)
        {
            int end = Math.Min(size, i + random.Next(1, longest + 1));
            bits.AsSpan(i, end - i).Fill(value);
            i = end;
        }

        for (int i = 0; i < noise && size > 0; i++)
        {
            int at = random.Next(size);
            bits[at] = !bits[at];
        }

        return bits;
    }

    private static ulong[] Pack(bool[] bits)
    {
        ulong[] words = new ulong[DirtyBitmap.WordsFor(bits.Length)];
        for (int i = 0; i < bits.Length; i++)
        {
            if (bits[i])
            {
                words[i / 64] |= 1UL << (i % 64);
            }
        }

        return words;
    }
}
