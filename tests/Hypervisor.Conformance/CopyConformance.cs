using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>Page types and copying pages.</summary>
public abstract class CopyConformance : ConformanceFacts
{
    private const int PageSize = 4096;

    [Fact]
    public void Nothing_is_populated_beyond_the_pfn_space()
    {
        var beyond = new PageType[64];
        Domain.GetPageTypes(Domain.GetPfnCount(), beyond);

        Assert.All(beyond, static type => Assert.Equal(PageType.Unpopulated, type));
        Assert.Throws<ArgumentOutOfRangeException>(() => Domain.GetPageTypes(-1, beyond));
    }

    [Fact]
    public void Types_of_a_range_do_not_depend_on_where_it_begins()
    {
        PageType[] all = PageDigests.TypesOf(Domain);
        long first = Array.FindIndex(all, PageDigests.HasContents);
        // Odd, and larger than the 1024 PFNs that one hypercall takes.
        var part = new PageType[Math.Min(2500, all.Length - first - 1)];
        Domain.GetPageTypes(first + 1, part);

        Assert.Equal(all.Skip((int)first + 1).Take(part.Length), part);
    }

    [Fact]
    public async Task Two_copies_of_a_suspended_guest_are_equal()
    {
        SkipUnlessPagesCanBeCopied();
        await SuspendAsync();
        PageDigests first = PageDigests.Of(Domain);
        PageDigests second = PageDigests.Of(Domain);

        Assert.InRange(first.Unread.Count, 0, Target.Allowances.Unreadable);
        Assert.Contains(first.Pages.Values, static digest => digest != PageDigests.ZeroPage);
        Assert.Empty(second.ChangedSince(first));
        Assert.Equal(first.Pages.Count, second.Pages.Count);
    }

    [Fact]
    public async Task Copies_of_a_guest_that_ran_in_between_differ()
    {
        SkipUnlessPagesCanBeCopied();
        await SuspendAsync();
        PageDigests before = PageDigests.Of(Domain);
        Domain.Resume();
        await LetRunAsync();
        await SuspendAsync();

        Assert.NotEmpty(PageDigests.Of(Domain).ChangedSince(before));
    }

    [Fact]
    public async Task Pages_that_were_mapped_ahead_in_parts_are_those_of_the_suspended_guest()
    {
        SkipUnlessPagesCanBeCopied();
        long[] pfns = DistinctPages(3);
        Assert.Equal(0, Domain.ExtendCapture([new(pfns[0], 1)]));
        Domain.PrepareCapture([new(pfns[1], 1)]);
        Assert.Equal(1, Domain.ExtendCapture([new(pfns[0], 1), new(pfns[1], 1)]));
        Assert.Equal(0, Domain.ExtendCapture([new(pfns[1], 1), new(pfns[0], 1)]));
        await SuspendAsync();
        byte[] pages = new byte[3 * PageSize];
        Assert.Equal(3, Domain.CopyPages([new(pfns[0], 1), new(pfns[1], 1), new(pfns[2], 1)], pages, new List<long>()));
        Domain.EndCapture();
        for (int i = 0; i < pfns.Length; i++)
        {
            Assert.Equal(CopyOne(pfns[i]), pages.AsSpan(i * PageSize, PageSize).ToArray());
        }

        Assert.Equal(0, Domain.ExtendCapture([new(pfns[0], 1)]));
    }

    [Fact]
    public async Task Pages_that_were_mapped_ahead_at_random_are_copied_as_all_others_are()
    {
        SkipUnlessPagesCanBeCopied();
        var random = new Random(1);
        PageType[] types = PageDigests.TypesOf(Domain);
        long hole = EndOfWideHole(types), from = Math.Max(hole - 50, 0), to = Math.Min(hole + 500, types.Length);
        Domain.PrepareCapture(Runs());
        int added = Domain.ExtendCapture(Runs()) + Domain.ExtendCapture(Runs()) + Domain.ExtendCapture(Runs());
        Assert.InRange(added, 1, to - from);
        await SuspendAsync();
        PfnRun[][] orders = [Runs(), Runs(), [.. Runs().Reverse()], [.. Runs(), .. Runs()]];
        (byte[], long[])[] prepared = Array.ConvertAll(orders, Copy);
        Domain.EndCapture();
        foreach (((byte[] pages, long[] unread), PfnRun[] order) in prepared.Zip(orders))
        {
            (byte[] expected, long[] unreadable) = Copy(order);
            Assert.True(expected.AsSpan().SequenceEqual(pages));
            Assert.Equal(unreadable, unread);
        }

        PfnRun[] Runs()
        {
            var runs = new List<PfnRun>();
            for (long pfn = from + random.Next(8); pfn + 8 <= to; pfn += random.Next(8))
            {
                runs.Add(new PfnRun(pfn, 1 + random.Next(7)));
                pfn += runs[^1].Count;
            }

            return [.. runs];
        }

        (byte[] Pages, long[] Unread) Copy(PfnRun[] runs)
        {
            byte[] pages = new byte[runs.Sum(r => r.Count) * PageSize];
            var unread = new List<long>();
            _ = Domain.CopyPages(runs, pages, unread);
            return (pages, [.. unread.Order()]);
        }
    }

    [Fact]
    public async Task Pages_come_in_the_order_of_the_runs()
    {
        SkipUnlessPagesCanBeCopied();
        await SuspendAsync();
        long[] pfns = DistinctPages(3);
        var unread = new List<long>();
        byte[] pages = new byte[4 * PageSize];

        // Descending, and one page twice.
        int copied = Domain.CopyPages(
            [new(pfns[2], 1), new(pfns[0], 1), new(pfns[1], 1), new(pfns[0], 1)], pages, unread);

        Assert.Equal(4, copied);
        Assert.Empty(unread);
        long[] order = [pfns[2], pfns[0], pfns[1], pfns[0]];
        for (int i = 0; i < order.Length; i++)
        {
            Assert.Equal(CopyOne(order[i]), pages.AsSpan(i * PageSize, PageSize).ToArray());
        }
    }

    [Fact]
    public async Task An_unpopulated_pfn_is_unread_and_zero_and_the_others_are_right()
    {
        SkipUnlessPagesCanBeCopied();
        await SuspendAsync();
        PageType[] types = PageDigests.TypesOf(Domain);
        long hole = EndOfWideHole(types);
        long[] pfns = DistinctPages(2);
        var unread = new List<long> { -1 };
        byte[] pages = new byte[5 * PageSize];
        pages.AsSpan().Fill(0xAA);

        // The hole and the page behind it in one run.
        int copied = Domain.CopyPages(
            [new(pfns[0], 1), new(hole, 2), new(pfns[1], 1)], pages, unread);

        Assert.Equal(3, copied);
        Assert.Equal([hole], unread);
        Assert.Equal(CopyOne(pfns[0]), pages[..PageSize]);
        Assert.False(pages.AsSpan(PageSize, PageSize).ContainsAnyExcept((byte)0));
        Assert.Equal(CopyOne(hole + 1), pages[(2 * PageSize)..(3 * PageSize)]);
        Assert.Equal(CopyOne(pfns[1]), pages[(3 * PageSize)..(4 * PageSize)]);
        Assert.False(pages.AsSpan(4 * PageSize).ContainsAnyExcept((byte)0xAA));
    }

    [Fact]
    public void A_pfn_beyond_the_pfn_space_is_unread()
    {
        SkipUnlessPagesCanBeCopied();
        var unread = new List<long>();
        byte[] pages = new byte[PageSize];
        pages.AsSpan().Fill(0xAA);
        long beyond = Domain.GetPfnCount() + 100;

        Assert.Equal(0, Domain.CopyPages([new(beyond, 1)], pages, unread));
        Assert.Equal([beyond], unread);
        Assert.False(pages.AsSpan().ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void A_destination_too_short_is_refused_and_nothing_changes()
    {
        SkipUnlessPagesCanBeCopied();
        long pfn = Array.FindIndex(PageDigests.TypesOf(Domain), PageDigests.HasContents);
        var unread = new List<long> { 123 };
        byte[] pages = new byte[(2 * PageSize) - 1];
        pages.AsSpan().Fill(0xAA);

        Assert.Throws<ArgumentException>(() => Domain.CopyPages([new(pfn, 1), new(pfn, 1)], pages, unread));

        Assert.Equal([123], unread);
        Assert.False(pages.AsSpan().ContainsAnyExcept((byte)0xAA));
    }

    [Fact]
    public void No_runs_copy_nothing_and_an_empty_run_is_refused()
    {
        SkipUnlessPagesCanBeCopied();
        var unread = new List<long> { 123 };

        Assert.Equal(0, Domain.CopyPages([], [], unread));
        Assert.Empty(unread);
        Assert.Throws<ArgumentException>(() => Domain.CopyPages([new(0, 0)], [], unread));
    }

    [Fact]
    public void A_guest_whose_pages_cannot_be_copied_says_so()
    {
        Assert.SkipWhen(Domain.CanCopyPages, "This guest's pages are copied.");

        Assert.Throws<NotSupportedException>(() => Domain.CopyPages([new(0, 1)], new byte[PageSize], []));
    }

    /// <summary>The last PFN of a hole under populated pages. Not any unpopulated PFN will do: Xen calls pages of its own
    /// that a guest sees (shared info, grant table) unpopulated, and lets them be read.</summary>
    private static long EndOfWideHole(PageType[] types)
    {
        const int Wide = 1024;
        int width = 0;
        for (int pfn = 0; pfn < types.Length; pfn++)
        {
            if (width >= Wide && PageDigests.HasContents(types[pfn]))
            {
                return pfn - 1;
            }

            width = types[pfn] == PageType.Unpopulated ? width + 1 : 0;
        }

        Assert.Skip("The guest's PFN space has no wide hole.");
        return 0;
    }

    /// <summary>PFNs whose pages differ from each other and are not zero.</summary>
    private long[] DistinctPages(int count)
    {
        long[] pfns = [.. PageDigests.Of(Domain).Pages
            .Where(static page => page.Value != PageDigests.ZeroPage)
            .DistinctBy(static page => page.Value)
            .Select(static page => page.Key)
            .Order()
            .Take(count)];
        Assert.Equal(count, pfns.Length);
        return pfns;
    }

    private byte[] CopyOne(long pfn)
    {
        byte[] page = new byte[PageSize];
        Assert.Equal(1, Domain.CopyPages([new(pfn, 1)], page, new List<long>()));
        return page;
    }
}
