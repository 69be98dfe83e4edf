using System.Numerics;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>The dirty log: what it records, keeps and forgets, and who owns it.</summary>
public abstract class DirtyLogConformance : ConformanceFacts
{
    [Fact]
    public async Task A_log_starts_empty_and_then_shows_what_the_guest_writes()
    {
        await SuspendAsync();
        using IDirtyLog log = Domain.StartDirtyLog();
        AssertOnlyResidue(log.Peek());

        Domain.Resume();
        await LetRunAsync();
        Assert.True(Count(log.Peek()) > Target.Allowances.ResidualDirty);
    }

    [Fact]
    public void The_bitmap_has_a_bit_for_each_pfn_of_the_guest()
    {
        using IDirtyLog log = Domain.StartDirtyLog();

        Assert.Equal(Domain.GetPfnCount(), log.PfnCount);
        DirtyBitmap bitmap = log.Clean();
        Assert.Equal(log.PfnCount, bitmap.PfnCount);
        Assert.Equal(DirtyBitmap.WordsFor(log.PfnCount), bitmap.Words.Length);
    }

    [Fact]
    public void The_pfn_space_is_larger_than_the_populated_memory()
    {
        SkipUnlessPagesCanBeCopied();
        long populated = PageDigests.TypesOf(Domain).LongCount(static t => t != PageType.Unpopulated);

        Assert.True(populated > 0);
        Assert.True(Domain.GetPfnCount() > populated);

        // Which lets a walk over the types pass over the holes.
        Assert.Equal(populated, Domain.GetPageCount());
    }

    [Fact]
    public async Task Peek_keeps_and_clean_forgets()
    {
        using IDirtyLog log = Domain.StartDirtyLog();
        await LetRunAsync();
        await SuspendAsync();

        ulong[] first = Words(log.Peek());
        Assert.Equal(first, Words(log.Peek()));
        Assert.Equal(first, Words(log.Clean()));
        Assert.NotEqual(0, first.Sum(BitOperations.PopCount));
        AssertOnlyResidue(log.Peek());
        AssertOnlyResidue(log.Clean());
    }

    [Fact]
    public async Task What_a_clean_returned_shows_again_when_it_is_written_again()
    {
        using IDirtyLog log = Domain.StartDirtyLog();
        for (int round = 0; round < 3; round++)
        {
            await LetRunAsync();
            Assert.True(Count(log.Clean()) > Target.Allowances.ResidualDirty, $"round {round} shows nothing");
        }
    }

    [Fact]
    public void A_log_has_one_owner()
    {
        using (Domain.StartDirtyLog())
        {
            Assert.Throws<DirtyLogBusyException>(Domain.StartDirtyLog);
            using IDomain other = Hypervisor.OpenDomain(Target.GuestUuid);
            Assert.Throws<DirtyLogBusyException>(other.StartDirtyLog);
        }

        using IDirtyLog next = Domain.StartDirtyLog();
        Assert.Equal(Domain.GetPfnCount(), next.Peek().PfnCount);
    }

    [Fact]
    public async Task A_refused_start_leaves_the_running_log_whole()
    {
        await SuspendAsync();
        using IDirtyLog log = Domain.StartDirtyLog();
        Domain.Resume();
        await LetRunAsync();
        await SuspendAsync();
        ulong[] before = Words(log.Peek());

        Assert.Throws<DirtyLogBusyException>(Domain.StartDirtyLog);

        Assert.Equal(before, Words(log.Peek()));
    }

    [Fact]
    public async Task A_disposed_log_is_off_and_the_next_one_starts_empty()
    {
        IDirtyLog log = Domain.StartDirtyLog();
        await LetRunAsync();
        await SuspendAsync();
        log.Dispose();
        log.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Count(log.Peek()));

        using IDirtyLog next = Domain.StartDirtyLog();
        AssertOnlyResidue(next.Peek());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_log_that_was_switched_off_is_found_out(bool final)
    {
        using (IDirtyLog log = Domain.StartDirtyLog())
        {
            await LetRunAsync();
            await SuspendAsync();
            using IDomain other = Hypervisor.OpenDomain(Target.GuestUuid);
            Assert.True(other.StopDirtyLog());
            if (final)
            {
                // A log without marks is asked only when the guest runs again.
                Assert.Throws<DirtyLogLostException>(() =>
                {
                    _ = Count(log.Clean(final: true));
                    Domain.Resume();
                    log.RequireWhole();
                });
            }
            else
            {
                Assert.Throws<DirtyLogLostException>(() => Count(log.Clean()));
            }

            Assert.Throws<DirtyLogLostException>(log.RequireWhole);
            Assert.Throws<DirtyLogLostException>(() => Count(log.Peek()));
            Assert.Throws<DirtyLogLostException>(() => Count(log.Clean(final: true)));
        }

        using IDirtyLog next = Domain.StartDirtyLog();
        next.RequireWhole();
    }

    /// <summary>As a live migration does, which finds the log on and goes on with one of its own.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_log_that_another_program_took_over_is_lost_while_that_still_has_it(bool final)
    {
        SkipUnlessPagesCanBeCopied();
        using (IDirtyLog log = Domain.StartDirtyLog())
        {
            await LetRunAsync();
            _ = log.Clean();
            await SuspendAsync();
            Target.TakeLogOver();
            try
            {
                Domain.Resume();
                await LetRunAsync();
                await SuspendAsync();
                ulong[] before = Target.ReadTakenLog(clean: false);
                Assert.True(before.Sum(BitOperations.PopCount) > Target.Allowances.ResidualDirty);

                Assert.Throws<DirtyLogLostException>(() => Count(log.Clean(final)));

                // The other program misses nothing.
                ulong[] after = Target.ReadTakenLog(clean: false);
                Assert.All(before.Zip(after), static w => Assert.Equal(0UL, w.First & ~w.Second));
                Assert.Throws<DirtyLogLostException>(() => Count(log.Peek()));
                log.Dispose();
                Assert.True(Target.ReadTakenLog(clean: true).Sum(BitOperations.PopCount) > Target.Allowances.ResidualDirty);

                // Somebody's it still is.
                Assert.Throws<DirtyLogBusyException>(Domain.StartDirtyLog);
            }
            finally
            {
                Target.EndTakeover();
            }
        }

        using IDirtyLog next = Domain.StartDirtyLog();
        next.RequireWhole();
    }

    [Fact]
    public async Task A_log_that_is_closed_after_another_program_took_it_over_leaves_that_alone()
    {
        SkipUnlessPagesCanBeCopied();
        IDirtyLog log = Domain.StartDirtyLog();
        await LetRunAsync();
        Target.TakeLogOver();
        try
        {
            log.Dispose();
            Assert.Throws<DirtyLogBusyException>(Domain.StartDirtyLog);
        }
        finally
        {
            Target.EndTakeover();
        }
    }

    [Fact]
    public async Task A_log_is_known_again_after_every_kind_of_reading()
    {
        using IDirtyLog log = Domain.StartDirtyLog();
        for (int round = 0; round < 3; round++)
        {
            await LetRunAsync();
            _ = log.Clean();
            _ = log.Clean();
            _ = log.Peek();
            await SuspendAsync();
            _ = log.Peek();
            _ = log.Clean(final: true);
            Domain.Resume();
            log.RequireWhole();
        }
    }

    [Fact]
    public async Task A_final_reading_of_a_log_that_nobody_touched_is_whole()
    {
        using IDirtyLog log = Domain.StartDirtyLog();
        await LetRunAsync();
        await SuspendAsync();
        Assert.NotEqual(0, Count(log.Clean(final: true)));
        log.RequireWhole();
        Domain.Resume();
        log.RequireWhole();
        await LetRunAsync();
        Assert.True(Count(log.Clean()) > Target.Allowances.ResidualDirty);
    }

    /// <summary>The fact that incremental checkpoints rest on.</summary>
    [Fact]
    public async Task Every_page_that_changes_between_two_suspensions_is_in_the_log()
    {
        SkipUnlessPagesCanBeCopied();
        using IDirtyLog log = Domain.StartDirtyLog();
        await SuspendAsync();
        PageDigests before = PageDigests.Of(Domain);
        log.Clean(final: true);

        for (int round = 0; round < 3; round++)
        {
            Domain.Resume();
            await LetRunAsync();
            await SuspendAsync();
            ulong[] dirty = Words(log.Clean(final: true));
            PageDigests after = PageDigests.Of(Domain);
            long[] changed = [.. after.ChangedSince(before)];
            long[] missed = [.. changed.Where(pfn => (dirty[pfn >> 6] & (1UL << (int)(pfn & 63))) == 0)];

            Assert.NotEmpty(changed);
            Assert.True(
                missed.Length <= Target.Allowances.Unlogged,
                $"round {round}: {missed.Length} of {changed.Length} changed pages are not in the log: "
                + string.Join(' ', missed.Take(16).Select(static pfn => pfn.ToString("x"))));
            before = after;
        }
    }

    /// <summary>As above with samples taken while the guest runs: all of them together miss nothing.</summary>
    [Fact]
    public async Task Samples_of_a_running_guest_add_up_to_every_change()
    {
        SkipUnlessPagesCanBeCopied();
        using IDirtyLog log = Domain.StartDirtyLog();
        await SuspendAsync();
        PageDigests before = PageDigests.Of(Domain);
        ulong[] dirty = new ulong[log.Clean(final: true).Words.Length];

        Domain.Resume();
        for (int sample = 0; sample < 20; sample++)
        {
            if (sample % 10 == 0)
            {
                await LetRunAsync();
            }

            Or(dirty, log.Clean());
        }

        await SuspendAsync();
        Or(dirty, log.Clean(final: true));
        long[] changed = [.. PageDigests.Of(Domain).ChangedSince(before)];
        long missed = changed.LongCount(pfn => (dirty[pfn >> 6] & (1UL << (int)(pfn & 63))) == 0);

        Assert.NotEmpty(changed);
        Assert.InRange(missed, 0, Target.Allowances.Unlogged);
    }

    private static void Or(ulong[] sum, DirtyBitmap bitmap)
    {
        for (int i = 0; i < sum.Length; i++)
        {
            sum[i] |= bitmap.Words[i];
        }
    }

    private static ulong[] Words(DirtyBitmap bitmap) => bitmap.Words.ToArray();

    private static long Count(DirtyBitmap bitmap)
    {
        long count = 0;
        foreach (ulong word in bitmap.Words)
        {
            count += BitOperations.PopCount(word);
        }

        return count;
    }

    private void AssertOnlyResidue(DirtyBitmap bitmap) =>
        Assert.InRange(Count(bitmap), 0, Target.Allowances.ResidualDirty);
}
