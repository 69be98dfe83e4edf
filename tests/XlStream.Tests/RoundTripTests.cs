using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream.Tests;

public class RoundTripTests
{
    private static readonly XlPageType[] HvmTypes =
        [XlPageType.Normal, XlPageType.Unpopulated, XlPageType.Broken, XlPageType.AllocateOnly];

    private static readonly XlPageType[] PvTypes =
    [
        .. HvmTypes, XlPageType.L1Table, XlPageType.L2Table, XlPageType.L3Table, XlPageType.L4Table,
        XlPageType.Pinned | XlPageType.L1Table, XlPageType.Pinned | XlPageType.L4Table,
    ];

    public static TheoryData<XlGuestKind> Kinds => new(XlGuestKind.Pv, XlGuestKind.Hvm);

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_was_written_comes_back_and_the_last_copy_wins(XlGuestKind kind) => Prop.ForAll(
        Arb.From(
            from seed in Gen.Choose(0, int.MaxValue)
            from batches in Gen.Choose(0, 5)
            from sizes in Gen.ArrayOf(
                Gen.Frequency(
                    (6, Gen.Choose(0, 20)), (1, Gen.Choose(1020, 1030)), (1, Gen.Choose(2040, 2060))),
                batches)
            select (seed, sizes)),
        c =>
        {
            var random = new Random(c.seed);
            var model = new Memory();
            byte[] file = Sample.Write(kind, writer =>
            {
                foreach (int size in c.sizes)
                {
                    WriteSome(writer, model, random, size, kind == XlGuestKind.Pv ? PvTypes : HvmTypes);
                }
            });

            var stream = new MemoryStream(file);
            var read = new Memory();
            var reader = new XlStreamReader(new Dribble(stream, random));
            reader.ReadToEnd(read);
            model.AssertSame(read);
            AssertState(kind, read);
            Assert.Equal(file.Length, reader.Offset);
            Assert.All(read.Batches, b => Assert.InRange(b, 1, XlStreamWriter.PagesInRecord));
        }).Check(Properties.Quiet.WithMaxTest(40));

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_was_read_can_be_written_to_the_same_bytes(XlGuestKind kind)
    {
        byte[] file = Sample.Small(kind);
        var copy = new MemoryStream();
        var copier = new Copier(copy);
        new XlStreamReader(new MemoryStream(file)).ReadToEnd(copier);
        copier.Complete();
        Assert.Equal(file, copy.ToArray());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_bare_libxc_stream_is_read_to_its_end_and_not_further(XlGuestKind kind)
    {
        byte[] file = Sample.Small(kind);
        int start = Layout.LibxcStart(file), length = file.Length - start - 8;
        var stream = new MemoryStream(file, start, file.Length - start);
        var memory = new Memory();
        var reader = new LibxcStreamReader(stream);
        reader.ReadToEnd(memory);
        Assert.Equal((length, length), (reader.Offset, stream.Position));
        Assert.Null(memory.ConfigJson);
        Assert.Equal((4, 17), memory.Xen);
        memory.AssertSame(Sample.Read(file));
        Assert.Throws<InvalidOperationException>(() => reader.ReadToEnd(memory));
    }

    // Xen takes records of more pages than libxc puts into one.
    [Fact]
    public void A_record_of_more_pages_than_a_batch_comes_in_parts()
    {
        const int Count = 2500;
        byte[] data = Sample.Bytes(1, Count / 2 * Sample.Page);
        byte[] body =
        [
            .. BitConverter.GetBytes((long)Count),
            .. Enumerable.Range(0, Count).SelectMany(
                i => BitConverter.GetBytes((i % 2 == 0 ? 0 : 0xeUL << 60) | (ulong)(3L * i))),
            .. data,
        ];
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        List<byte[]> records = Layout.Split(file);
        Memory memory = Sample.Read(
            Layout.WithRecords(file, [.. records[..3], Layout.Record(1, body), .. records[5..]]));
        Assert.Equal([1024, 1024, 452], memory.Batches);
        Assert.Equal(Enumerable.Range(0, Count).Select(i => 3L * i), memory.Pages.Keys);
        Assert.Equal(data, memory.Pages.Values.SelectMany(p => p.Data).ToArray());
        Assert.All(
            memory.Pages, p => Assert.Equal(
                p.Key % 2 == 0 ? XlPageType.Normal : XlPageType.AllocateOnly, p.Value.Type));
    }

    [Fact]
    public void A_32_bit_guest_and_absent_records_come_back()
    {
        XlPvState state = Sample.Pv with
        {
            GuestWidth = 4,
            PageTableLevels = 3,
            CpuidPolicy = default,
            MsrPolicy = default,
            P2m = new XlP2mFrames(0, 2047, new long[] { 5, 6 }),
            Vcpus = [new XlPvVcpu(0, Sample.Bytes(1, 2800), default, default, default)],
        };
        var stream = new MemoryStream();
        XlStreamWriter.Start(stream, Sample.Domain(XlGuestKind.Pv), state).Complete();
        States.AssertSame(state, Sample.Read(stream.ToArray()).ToPvState());

        XlHvmState hvm = Sample.Hvm with { MsrPolicy = default, HvmParams = new Dictionary<uint, ulong>() };
        stream = new MemoryStream();
        XlStreamWriter.Start(stream, Sample.Domain(XlGuestKind.Hvm), hvm).Complete();
        States.AssertSame(hvm, Sample.Read(stream.ToArray()).ToHvmState());
    }

    private static void AssertState(XlGuestKind kind, Memory read)
    {
        Assert.Equal((kind, (4, 17)), (read.Kind, read.Xen));
        Assert.Equal(Sample.Domain(kind).ConfigJson, read.ConfigJson);
        if (kind == XlGuestKind.Pv)
        {
            States.AssertSame(Sample.Pv, read.ToPvState());
        }
        else
        {
            States.AssertSame(Sample.Hvm, read.ToHvmState());
        }
    }

    private static void WriteSome(XlStreamWriter writer, Memory model, Random random, int size, XlPageType[] types)
    {
        bool asRuns = random.Next(2) == 0;
        long[] pfns = new long[size];
        var runs = new List<PfnRun>();
        for (int i = 0; i < size;)
        {
            int count = Math.Min(size - i, random.Next(1, 600));
            long first = random.Next((int)Sample.LastPfn + 2 - count);
            runs.Add(new PfnRun(first, count));
            for (int j = 0; j < count; j++)
            {
                pfns[i++] = first + j;
            }
        }

        XlPageType[] kinds = [.. pfns.Select(_ => asRuns ? XlPageType.Normal : types[random.Next(types.Length)])];
        byte[] data = new byte[kinds.Count(t => t.HasContents()) * Sample.Page];
        random.NextBytes(data);
        if (asRuns)
        {
            writer.WritePages([.. runs], data);
        }
        else
        {
            writer.WritePages(pfns, kinds, data);
        }

        model.OnPages(pfns, kinds, data);
    }

    /// <summary>A stream that gives what it likes, and never all.</summary>
    private sealed class Dribble(Stream inner, Random random) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer) => buffer.IsEmpty
            ? 0
            : inner.Read(buffer[..random.Next(1, Math.Min(buffer.Length, 50_000) + 1)]);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }

    /// <summary>Reads a whole file before it writes: the writer wants the state first.</summary>
    private sealed class Copier(Stream output) : XlStateVisitor
    {
        private readonly List<(long[] Pfns, XlPageType[] Types, byte[] Data)> _pages = [];

        public override void OnPages(
            ReadOnlySpan<long> pfns, ReadOnlySpan<XlPageType> types, ReadOnlySpan<byte> data) =>
            _pages.Add((pfns.ToArray(), types.ToArray(), data.ToArray()));

        internal void Complete()
        {
            var domain = new XlDomain(ConfigJson!, Xen.Major, Xen.Minor, Kind);
            XlStreamWriter writer = Kind == XlGuestKind.Pv
                ? XlStreamWriter.Start(output, domain, ToPvState())
                : XlStreamWriter.Start(output, domain, ToHvmState());
            _pages.ForEach(p => writer.WritePages(p.Pfns, p.Types, p.Data));
            writer.Complete();
        }
    }
}
