using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>What is known of one domain's memory between checkpoints.</summary>
public class MemoryCaptureTests
{
    [Fact]
    public void A_page_that_the_balloon_took_and_gave_back_is_a_new_one()
    {
        using var hypervisor = new ModelHypervisor();
        ModelGuest guest = hypervisor.CreateDomain(
            new ModelDomainOptions { Name = "a", MemoryPages = 512, MaxMemoryPages = 1024, DiskBlocks = 0 });
        using IDomain domain = hypervisor.OpenDomain(guest.Uuid);
        using var batch = new CopyBatch(new CopyRate());
        using var capture = new MemoryCapture(domain, new DirtyPageCache(64), batch);
        using ImageWriter writer = ToNowhere(capture.PfnCount);
        capture.BeginEpoch(writer, full: true);
        while (capture.FeedLeft > 0)
        {
            _ = capture.Feed(512);
        }

        Assert.False(capture.Cache!.Contains(100));
        Assert.True(guest.Unpopulate(100));

        // Asking alone brings nothing up to date.
        Assert.True(capture.TypesChanged());
        _ = capture.Sample();
        Assert.Equal(1, capture.Statistics.Unpopulated);
        Assert.True(guest.Populate(100));
        _ = capture.Sample();
        Assert.True(capture.Cache.Contains(100));
    }

    [Fact]
    public void A_page_that_comes_into_a_hole_is_found()
    {
        using var hypervisor = new ModelHypervisor();
        ModelGuest guest = hypervisor.CreateDomain(
            new ModelDomainOptions { Name = "a", MemoryPages = 512, MaxMemoryPages = 1024, DiskBlocks = 0 });
        using IDomain domain = hypervisor.OpenDomain(guest.Uuid);
        var known = new PageSet(domain.GetPfnCount());
        var buffer = new PageType[TypeWalk.Batch];
        Assert.Equal(guest.PopulatedPages, Learn(domain, known, buffer));

        // Nothing but the blocks that are known to have pages.
        Assert.InRange(Visited(domain, known, buffer), guest.PopulatedPages, 8192);

        // One leaves and another comes far away: as many as before.
        Assert.True(guest.Unpopulate(100));
        Assert.True(guest.Populate(700_000));
        Assert.Equal(2, Learn(domain, known, buffer));
        Assert.True(known.Contains(700_000));
        Assert.False(known.Contains(100));
    }

    // The number of pages whose state was not the known one.
    private static long Learn(IDomain domain, PageSet known, PageType[] buffer)
    {
        long changed = 0;
        var walk = new TypeWalk(domain, known, buffer);
        while (walk.MoveNext())
        {
            for (int i = 0; i < walk.Types.Length; i++)
            {
                if (TypeWalk.IsPopulated(walk.Types[i]) ? known.Add(walk.First + i) : known.Remove(walk.First + i))
                {
                    changed++;
                }
            }
        }

        return changed;
    }

    private static long Visited(IDomain domain, PageSet known, PageType[] buffer)
    {
        long visited = 0;
        var walk = new TypeWalk(domain, known, buffer);
        while (walk.MoveNext())
        {
            visited += walk.Types.Length;
        }

        return visited;
    }

    private static ImageWriter ToNowhere(long pfnCount) => new(
        Stream.Null,
        new ImageHeader
        {
            DomainUuid = Guid.NewGuid(),
            CheckpointId = Guid.NewGuid(),
            Epoch = 1,
            Created = DateTimeOffset.UnixEpoch,
            Content = ImageContent.Memory,
            Kind = ImageKind.Full,
            UnitSize = 4096,
            UnitCount = pfnCount,
        },
        "nowhere");
}
