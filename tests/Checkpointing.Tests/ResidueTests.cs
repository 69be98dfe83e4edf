using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>No page is lost between the log, the cache and the images, of guests that are larger than any batch.</summary>
public class ResidueTests
{
    private static readonly Gen<Stretch[]> Stretches =
        (from first in Gen.Choose(0, CapturedGuest.Pages - 1)
         from count in Gen.Frequency((3, Gen.Choose(1, 64)), (1, Gen.Choose(900, 3000)))
         from stride in Gen.Elements(1, 2, 3)
         select new Stretch(first, count, stride)).ArrayOf().Resize(4);

    [Fact]
    public void What_an_epoch_holds_is_what_the_guest_has() => Prop.ForAll(
        Arb.From(
            from cache in Gen.Elements(0, 7, 1500, 4500)
            from epochs in (
                from running in Stretches
                from late in Stretches
                select (running, late)).ArrayOf(3)
            select (cache, epochs)),
        c =>
        {
            using var guest = new CapturedGuest(c.cache);
            for (int epoch = 0; epoch < c.epochs.Length; epoch++)
            {
                (Stretch[] running, Stretch[] late) = c.epochs[epoch];
                guest.Begin(full: epoch == 0);
                Write(guest, running[..(running.Length / 2)]);
                guest.Feed();
                Write(guest, running[(running.Length / 2)..]);
                _ = guest.Capture.Sample();
                guest.Finish(suspended: () => Write(guest, late));
                guest.AssertWhole();
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(25).WithQuietOnSuccess(true));

    [Theory]
    [InlineData(0)]
    [InlineData(CapturedGuest.Pages)]
    public void A_residue_of_more_than_two_batches_is_whole(int cacheEntries)
    {
        using var guest = new CapturedGuest(cacheEntries);
        guest.Begin(full: true);
        guest.Feed();
        guest.Finish();
        guest.AssertWhole();

        // Every other page, so that each is a run of its own; then all.
        guest.Begin(full: false);
        guest.Finish(suspended: () => Write(guest, [new Stretch(0, CapturedGuest.Pages / 2, 2)]));
        Assert.InRange(guest.Capture.Statistics.Residual, 2 * CopyBatch.Capacity, long.MaxValue);
        guest.AssertWhole();
        guest.Begin(full: false);
        guest.Finish(suspended: () => Write(guest, [new Stretch(0, CapturedGuest.Pages, 1)]));
        Assert.InRange(guest.Capture.Statistics.Residual, CapturedGuest.Pages, long.MaxValue);
        guest.AssertWhole();
    }

    [Fact]
    public void A_page_that_could_not_be_read_is_copied_at_the_suspension()
    {
        using var guest = new CapturedGuest(64);
        guest.Begin(full: true);
        guest.Guest.Arm(ModelFault.CopyFailure, persistent: true, new PfnRun(2000, 3));
        guest.Feed();
        guest.Guest.Disarm(ModelFault.CopyFailure);
        guest.Close();
        guest.AssertWhole();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_page_that_leaves_after_the_last_look_leaves_the_chain(bool compareTypes)
    {
        using var guest = new CapturedGuest(64);
        guest.Begin(full: true);
        guest.Feed();
        guest.Finish();
        guest.Begin(full: false);
        guest.Write([700, 701]);
        guest.Finish(compareTypes, () =>
        {
            // Without a comparison it is found by what cannot be read, so it has to be dirty.
            Assert.True(guest.Guest.Unpopulate(700));
            Assert.True(!compareTypes || guest.Guest.Unpopulate(800));
            Assert.True(!compareTypes || guest.Guest.Populate(CapturedGuest.Pages + 20));
        });
        guest.AssertWhole();
    }

    [Fact]
    public void A_page_that_left_in_a_window_that_failed_leaves_the_chain()
    {
        using var guest = new CapturedGuest(64);
        guest.Begin(full: true);
        guest.Feed();
        guest.Finish();
        guest.Begin(full: false);
        guest.Write([700, 701]);
        guest.CollectAndRollBack(compareTypes: true, () => Assert.True(guest.Guest.Unpopulate(800)));
        guest.Finish();
        guest.AssertWhole();
    }

    [Fact]
    public void What_xen_itself_maps_writable_is_in_every_checkpoint()
    {
        using var guest = new CapturedGuest(64);
        using WritableMapping mapping = guest.Guest.Map(900, MappingOwner.Hypervisor);
        guest.Begin(full: true);
        guest.Feed();
        mapping.Write(0, "one"u8);
        guest.Finish();
        guest.AssertWhole();
        guest.Begin(full: false);
        mapping.Write(0, "two"u8);
        guest.Finish();
        guest.AssertWhole();
    }

    private static void Write(CapturedGuest guest, Stretch[] stretches)
    {
        foreach (Stretch stretch in stretches)
        {
            guest.Write(stretch.Pages);
        }
    }

    private sealed record Stretch(int First, int Count, int Stride)
    {
        internal IEnumerable<long> Pages =>
            Enumerable.Range(0, Count).Select(i => First + ((long)i * Stride)).Where(p => p < CapturedGuest.Pages);
    }
}
