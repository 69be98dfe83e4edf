using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.XlStream;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

public class PvPageStoreTests
{
    private const int Pfns = 16;

    [Fact]
    public void Pages_that_did_not_change_are_not_written_again()
    {
        using var staging = new StagingArea(64);
        var store = new PvPageStore(Pfns, staging);
        Dictionary<long, byte?> first = Epoch(store, staging, full: true, live: [(1, 7), (2, 7)], rest: [(2, 8), (3, 9)]);
        Assert.Equal(new Dictionary<long, byte?> { [1] = 7, [2] = 8, [3] = 9 }, first);
        Dictionary<long, byte?> second = Epoch(store, staging, full: false, live: [(1, 7), (2, 8)], rest: [(3, 10)]);
        Assert.Equal(new Dictionary<long, byte?> { [3] = 10 }, second);

        // Back to what the first checkpoint had: that is a change against the second.
        Dictionary<long, byte?> third = Epoch(store, staging, full: false, live: [(1, 7), (2, 8), (3, 9)], rest: []);
        Assert.Equal(new Dictionary<long, byte?> { [3] = 9 }, third);
    }

    [Fact]
    public void A_page_that_is_not_there_any_more_is_taken_away()
    {
        using var staging = new StagingArea(64);
        var store = new PvPageStore(Pfns, staging);
        _ = Epoch(store, staging, full: true, live: [(1, 7), (2, 7)], rest: []);
        Assert.Equal(
            new Dictionary<long, byte?> { [2] = null }, Epoch(store, staging, full: false, live: [(1, 7)], rest: []));

        // And when it comes back with the same contents, it is written again.
        Assert.Equal(
            new Dictionary<long, byte?> { [2] = 7 },
            Epoch(store, staging, full: false, live: [(1, 7), (2, 7)], rest: []));
    }

    [Fact]
    public void What_a_failed_checkpoint_staged_is_written_by_the_next()
    {
        using var staging = new StagingArea(64);
        var store = new PvPageStore(Pfns, staging);
        _ = Epoch(store, staging, full: true, live: [(1, 7)], rest: []);
        using var stream = new MemoryStream();
        using ImageWriter writer = Writer(stream, full: false);
        store.BeginEpoch(writer, full: false);
        store.BeginStream();
        store.Stage();
        Add(store, 1, 8);
        store.DropStaged();

        staging.Clear();
        store.BeginStream();
        store.Stage();
        Add(store, 1, 8);
        store.WriteStaged();
        Assert.Equal(new Dictionary<long, byte?> { [1] = 8 }, Contents(stream, writer));
    }

    [Fact]
    public void A_full_epoch_has_all_pages()
    {
        using var staging = new StagingArea(64);
        var store = new PvPageStore(Pfns, staging);
        _ = Epoch(store, staging, full: true, live: [(1, 7), (2, 7)], rest: []);
        Assert.Equal(
            new Dictionary<long, byte?> { [1] = 7, [2] = 7 },
            Epoch(store, staging, full: true, live: [(1, 7), (2, 7)], rest: []));
    }

    [Fact]
    public void More_than_the_staging_area_holds_is_said_so()
    {
        using var staging = new StagingArea(1);
        var store = new PvPageStore(Pfns, staging);
        using var stream = new MemoryStream();
        using ImageWriter writer = Writer(stream, full: true);
        store.BeginEpoch(writer, full: true);
        store.BeginStream();
        Add(store, 3, 8);
        store.Stage();
        Add(store, 1, 8);
        Assert.Throws<StagingFullException>(() => Add(store, 2, 8));
    }

    [Fact]
    public void Of_a_page_that_comes_twice_while_the_guest_is_suspended_the_last_counts()
    {
        using var staging = new StagingArea(64);
        var store = new PvPageStore(Pfns, staging);
        _ = Epoch(store, staging, full: true, live: [(1, 7), (2, 7)], rest: []);

        // The first of the two was on its way when the guest was suspended; the guest put back what it had been.
        Dictionary<long, byte?> second = Epoch(store, staging, full: false, live: [(2, 7)], rest: [(1, 8), (1, 7)]);
        Assert.Equal(7, second.GetValueOrDefault(1, (byte)7)!.Value);
    }

    [Fact]
    public void All_of_a_guest_that_has_no_log_needs_no_staging_area()
    {
        using var staging = new StagingArea(1);
        var store = new PvPageStore(Pfns, staging);
        Assert.Equal(
            new Dictionary<long, byte?> { [1] = 7, [2] = 8, [3] = 9 },
            Epoch(store, staging, full: true, live: [], rest: [(1, 7), (2, 8), (3, 9)]));
        Assert.Equal(
            new Dictionary<long, byte?> { [1] = null, [2] = 9 },
            Epoch(store, staging, full: false, live: [], rest: [(2, 9), (3, 9)]));
        Assert.True(staging.TryReserve(1, out _));
    }

    private static Dictionary<long, byte?> Epoch(
        PvPageStore store, StagingArea staging, bool full, (long Pfn, byte Fill)[] live, (long Pfn, byte Fill)[] rest)
    {
        using var stream = new MemoryStream();
        using ImageWriter writer = Writer(stream, full);
        staging.Clear();
        store.BeginEpoch(writer, full);
        store.BeginStream();
        Array.ForEach(live, p => Add(store, p.Pfn, p.Fill));
        store.Stage();
        Array.ForEach(rest, p => Add(store, p.Pfn, p.Fill));
        store.WriteStaged();
        return Contents(stream, writer);
    }

    private static void Add(PvPageStore store, long pfn, byte fill)
    {
        byte[] page = new byte[4096];
        Array.Fill(page, fill);
        store.Add([pfn], [XlPageType.Normal], page);
    }

    private static ImageWriter Writer(Stream stream, bool full) => new(
        stream,
        new ImageHeader
        {
            DomainUuid = Guid.NewGuid(),
            CheckpointId = Guid.NewGuid(),
            ParentId = full ? Guid.Empty : Guid.NewGuid(),
            Epoch = 1,
            Created = DateTimeOffset.UnixEpoch,
            Content = ImageContent.Memory,
            Kind = full ? ImageKind.Full : ImageKind.Increment,
            UnitSize = 4096,
            UnitCount = Pfns,
        },
        "image");

    // The last entry of each page: its fill, or null where it is taken away.
    private static Dictionary<long, byte?> Contents(MemoryStream stream, ImageWriter writer)
    {
        _ = writer.Complete(new CheckpointClosing(1, DateTimeOffset.UnixEpoch));
        var visitor = new Collector();
        using var reader = new ImageReader(new MemoryStream(stream.ToArray()), "image");
        reader.ReadToEnd(visitor);
        return visitor.Pages;
    }

    private sealed class Collector : ImageVisitor
    {
        internal Dictionary<long, byte?> Pages { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                Pages[run.First + i] = data[i * 4096];
            }
        }

        public override void OnUnpopulated(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                Pages[pfn] = null;
            }
        }
    }
}
