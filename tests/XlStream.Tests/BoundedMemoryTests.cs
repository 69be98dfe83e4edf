using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream.Tests;

public class BoundedMemoryTests
{
    private const int Pages = 1500;

    // What optimised code may allocate less than the same code before; a record more may not cost a byte each.
    private const int Noise = 4096;

    public static TheoryData<bool> Both => new(false, true);

    [Theory]
    [MemberData(nameof(Both))]
    public void Writing_more_pages_allocates_no_more(bool typed)
    {
        byte[] data = Sample.Bytes(1, Pages * Sample.Page);
        long[] pfns = [.. Enumerable.Range(0, Pages).Select(i => (long)i)];
        XlPageType[] types = new XlPageType[Pages];
        _ = Write(1);
        Assert.InRange(Write(400) - Write(2), -Noise, Noise);

        long Write(int batches)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            XlStreamWriter writer = Sample.Start(Stream.Null, XlGuestKind.Hvm);
            for (int i = 0; i < batches; i++)
            {
                if (typed)
                {
                    writer.WritePages(pfns, types, data);
                }
                else
                {
                    writer.WritePages([new PfnRun(i, 700), new PfnRun(7000, 800)], data);
                }
            }

            writer.Complete();
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    // Small records, those that libxc writes, and as large as none would be.
    [Theory]
    [InlineData(4, 1000)]
    [InlineData(1024, 20)]
    [InlineData(3000, 20)]
    public void Reading_more_pages_allocates_no_more(int pages, int records)
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        List<byte[]> others = Layout.Split(file);
        byte[] body = new byte[8 + (pages * (8 + Sample.Page))];
        BitConverter.GetBytes(pages).CopyTo(body, 0);
        byte[] record = Layout.Record(1, body);
        byte[] few = File(2), many = File(records);
        _ = Read(few);

        // The runtime gives pooled arrays back now and then, which are made anew: what the pages themselves cost comes every time.
        long more = long.MaxValue;
        for (int attempt = 0; attempt < 5 && Math.Abs(more) > Noise; attempt++)
        {
            more = Read(many) - Read(few);
        }

        Assert.InRange(more, -Noise, Noise);

        byte[] File(int count) =>
            Layout.WithRecords(file, [.. others[..3], .. Enumerable.Repeat(record, count), .. others[5..]]);

        long Read(byte[] bytes)
        {
            var counter = new Counter();
            var stream = new MemoryStream(bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            new XlStreamReader(stream).ReadToEnd(counter);
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.Equal(0, counter.Pages % pages);
            Assert.Equal(Math.Min(pages, 1024), counter.Largest);

            // A batch of pages, the PFNs of the largest record, and the rest.
            Assert.InRange(allocated, 1, (4 << 20) + (128 << 10));
            return allocated;
        }
    }

    private sealed class Counter : XlVisitor
    {
        internal int Pages { get; private set; }

        internal int Largest { get; private set; }

        public override void OnPages(
            ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data)
        {
            Pages += pfns.Length;
            Largest = Math.Max(Largest, pfns.Length);
        }
    }
}
