using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

// Counts the allocations of the whole process, so nothing may run beside it.
[CollectionDefinition(nameof(BoundedMemoryTests), DisableParallelization = true)]
[Collection(nameof(BoundedMemoryTests))]
public class BoundedMemoryTests
{
    private const int Page = 4096;

    // What one more batch may not cost; a page is sixteen of it.
    private const long Noise = 256;

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Writing_more_pages_allocates_no_more(int threads)
    {
        byte[] data = Sample.Compressible(1, 64 * Page);
        data.AsSpan(5 * Page, Page).Clear();

        // More than once: the tests' runner allocates, too.
        long few = Write(100), many = Enumerable.Range(0, 3).Min(_ => Write(1000));
        Assert.InRange(many - few, long.MinValue, 900 * Noise);

        long Write(int batches)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            using var writer = new ImageWriter(
                Stream.Null, Sample.Header(1 << 20, unitSize: Page), "null",
                new ImageWriterOptions { BatchSize = 64 << 10, CompressionThreads = threads });
            for (int i = 0; i < batches; i++)
            {
                writer.AddUnits(new PfnRun(i * 64, 64), data);
                writer.AddUnpopulated(new PfnRun(i, 1));
            }

            _ = writer.Complete(Sample.Closing());
            return GC.GetTotalAllocatedBytes(precise: true) - before;
        }
    }

    [Fact]
    public void Reading_more_pages_allocates_no_more()
    {
        byte[] few = Image(100), many = Image(1000);
        _ = Read(few);
        Assert.InRange(Enumerable.Range(0, 3).Min(_ => Read(many)) - Read(few), long.MinValue, 900 * Noise);

        static byte[] Image(int batches) => Sample.Write(
            Sample.Header(1 << 20, unitSize: Page),
            w =>
            {
                byte[] data = Sample.Compressible(1, 16 * Page);
                for (int i = 0; i < batches; i++)
                {
                    w.AddUnits(new PfnRun(i * 16, 16), data);
                }
            },
            batchSize: 64 << 10);

        static long Read(byte[] image)
        {
            var visitor = new Counter();
            long before = GC.GetTotalAllocatedBytes(precise: true);
            using var reader = new ImageReader(new MemoryStream(image), "image");
            _ = reader.ReadToEnd(visitor);
            return GC.GetTotalAllocatedBytes(precise: true) - before;
        }
    }

    [Fact]
    public void A_sparse_domain_of_64_GiB_folds_in_a_bitmap_and_some_buffers()
    {
        const long Pfns = 16 << 20;
        using var folder = new TemporaryFolder(judged: false);
        using var store = DirectoryStore.Open(folder.Path);
        byte[] page = Sample.Noise(1, Page);
        Guid parent = Guid.Empty;
        for (ulong k = 1; k <= 3; k++)
        {
            using var draft = new CheckpointDraft(store, "node1");
            ImageWriter writer = draft.AddPart(
                StoreSample.Memory(parent, units: Pfns) with { UnitSize = Page, Options = null });
            if (k == 1)
            {
                writer.AddZero(new PfnRun(0, (int)Pfns));
            }

            for (long pfn = (long)k; pfn < Pfns; pfn += Pfns / 512)
            {
                writer.AddUnits(new PfnRun(pfn, 1), page);
            }

            parent = draft.Commit(StoreSample.Closing(k)).Id;
        }

        long before = GC.GetTotalAllocatedBytes(precise: true);
        Assert.True(Folding.Fold(store, parent, Sample.Domain, ImageContent.Memory));
        long allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        // The bitmap has 2 MiB; a writer's buffers and three readers' have 1 MiB each, or some more.
        Assert.InRange(allocated, 2 << 20, 24 << 20);
        var counter = new Counter();
        using Chain chain = Chain.Open(store, parent, Sample.Domain, ImageContent.Memory);
        chain.Visit(counter);
        Assert.Equal((3 * 512, Pfns - (3 * 512)), (counter.Data, counter.Zero));
    }

    private sealed class Counter : ImageVisitor
    {
        internal long Data { get; private set; }

        internal long Zero { get; private set; }

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data) => Data += run.Count;

        public override void OnZero(PfnRun run) => Zero += run.Count;
    }
}
