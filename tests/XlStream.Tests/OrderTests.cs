namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>The order of records: what the writer keeps, and what the reader demands.</summary>
public class OrderTests
{
    private static readonly byte[] Hvm = Sample.Small(XlGuestKind.Hvm);
    private static readonly byte[] Pv = Sample.Small(XlGuestKind.Pv);

    public static TheoryData<XlGuestKind> Kinds => new(XlGuestKind.Pv, XlGuestKind.Hvm);

    [Fact]
    public void Records_are_written_in_the_order_of_the_specification()
    {
        Assert.Equal([0x11, 0x12, 0x10, 1, 1, 8, 0xa, 9, 0], Layout.Records(Hvm).Select(r => r.Type));
        Assert.Equal(
            [2, 0x11, 0x12, 0x10, 3, 1, 1, 8, 7, 4, 5, 6, 0xc, 4, 0], Layout.Records(Pv).Select(r => r.Type));
    }

    // libxc writes HVM_CONTEXT before HVM_PARAMS.
    [Fact]
    public void Params_may_come_after_the_context()
    {
        List<byte[]> records = Layout.Split(Hvm);
        (records[6], records[7]) = (records[7], records[6]);
        States.AssertSame(Sample.Hvm, Sample.Read(Layout.WithRecords(Hvm, records)).ToHvmState());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_record_that_is_missing_is_missed(XlGuestKind kind)
    {
        byte[] file = kind == XlGuestKind.Pv ? Pv : Hvm;
        List<byte[]> records = Layout.Split(file);
        List<uint> missed = [];
        foreach ((byte[] record, int i) in records.Select((r, i) => (r, i)))
        {
            List<byte[]> others = [.. records];
            others.RemoveAt(i);
            if (Fails(file, others) is not null)
            {
                missed.Add(record[0]);
            }
        }

        // Policies, pages, parameters, and all but the basic state of virtual CPU 0 need not be there.
        Assert.Equal(kind == XlGuestKind.Pv ? [2, 0x10, 3, 8, 7, 4, 0] : [0x10, 8, 9, 0], missed);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_record_that_comes_twice_is_found(XlGuestKind kind)
    {
        byte[] file = kind == XlGuestKind.Pv ? Pv : Hvm;
        List<byte[]> records = Layout.Split(file);
        foreach ((byte[] record, int i) in records.Select((r, i) => (r, i)))
        {
            // Pages may come again.
            if (record[0] is not (0 or 1))
            {
                Assert.Contains(
                    "for the second time", Fails(file, [.. records[..i], record, .. records[i..]])!.Found,
                    StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData(XlGuestKind.Hvm, 3, 2)] // PAGE_DATA before STATIC_DATA_END
    [InlineData(XlGuestKind.Hvm, 2, 0)] // policies after it
    [InlineData(XlGuestKind.Hvm, 5, 2)] // TSC_INFO before it
    [InlineData(XlGuestKind.Pv, 3, 0)] // STATIC_DATA_END before X86_PV_INFO
    [InlineData(XlGuestKind.Pv, 5, 4)] // PAGE_DATA before X86_PV_P2M_FRAMES
    [InlineData(XlGuestKind.Pv, 4, 3)] // X86_PV_P2M_FRAMES before STATIC_DATA_END
    [InlineData(XlGuestKind.Pv, 9, 0)] // a virtual CPU before X86_PV_INFO
    [InlineData(XlGuestKind.Pv, 12, 9)] // its MSRs before its registers
    public void A_record_that_comes_too_early_is_found(XlGuestKind kind, int from, int to)
    {
        byte[] file = kind == XlGuestKind.Pv ? Pv : Hvm;
        List<byte[]> records = Layout.Split(file);
        byte[] record = records[from];
        records.RemoveAt(from);
        records.Insert(to, record);
        Assert.NotNull(Fails(file, records));
    }

    [Theory]
    [InlineData(0x13u, false)]
    [InlineData(0x7fffffffu, false)]
    [InlineData(0x0bu, false)] // TOOLSTACK
    [InlineData(0x0eu, false)] // CHECKPOINT
    [InlineData(0x0fu, false)] // CHECKPOINT_DIRTY_PFN_LIST
    [InlineData(0x07u, false)] // SHARED_INFO, which is for PV guests
    [InlineData(0x80000013u, true)]
    [InlineData(0xffffffffu, true)]
    public void An_unknown_record_is_skipped_where_it_is_optional(uint type, bool optional)
    {
        List<byte[]> records = Layout.Split(Hvm);
        records.Insert(4, Layout.Record(type, new byte[700]));
        if (!optional)
        {
            Assert.Contains("mandatory", Fails(Hvm, records)!.Found, StringComparison.Ordinal);
            return;
        }

        Sample.Read(Hvm).AssertSame(Sample.Read(Layout.WithRecords(Hvm, records)));
    }

    [Theory]
    [InlineData(4u, false)] // CHECKPOINT_END
    [InlineData(6u, false)]
    [InlineData(1u, false)] // a second LIBXC_CONTEXT
    [InlineData(0x80000001u, true)]
    [InlineData(3u, true)] // EMULATOR_CONTEXT
    public void So_is_an_unknown_record_of_libxl(uint type, bool right)
    {
        byte[] file = [.. Hvm[..^8], .. Layout.Record(type, 2, 0, 0, 0, 1, 0, 0, 0, 42), .. new byte[8]];
        var emulator = new Emulator();
        if (!right)
        {
            Assert.Throws<XlStreamException>(() => new XlStreamReader(new MemoryStream(file)).ReadToEnd(emulator));
            return;
        }

        new XlStreamReader(new MemoryStream(file)).ReadToEnd(emulator);
        Assert.Equal(type == 3 ? "True 2 1 42" : null, emulator.Seen);
    }

    [Fact]
    public void A_file_without_libxc_is_found()
    {
        int start = Layout.LibxcStart(Hvm);
        Assert.Throws<XlStreamException>(() => Sample.Read([.. Hvm[..(start - 8)], .. new byte[8]]));
    }

    [Fact]
    public void Pages_after_verify_are_checked_and_not_passed_on()
    {
        List<byte[]> records = Layout.Split(Hvm);
        byte[] again = [.. records[3]];
        again[^1] ^= 1;
        records.InsertRange(5, [Layout.Record(0xd), again]);
        Sample.Read(Hvm).AssertSame(Sample.Read(Layout.WithRecords(Hvm, records)));
        again[8] ^= 1;
        Assert.NotNull(Fails(Hvm, records));
    }

    [Fact]
    public void A_page_above_the_p2m_is_found()
    {
        List<byte[]> records = Layout.Split(Pv);
        byte[] page = Layout.Record(1, [1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x1f, 0, 0, 0, 0, 0, 0xe0]);
        records.Insert(6, page);
        Assert.Null(Fails(Pv, records));
        page[16]++;
        Assert.NotNull(Fails(Pv, records));
    }

    private static XlStreamException? Fails(byte[] file, IEnumerable<byte[]> records)
    {
        try
        {
            _ = Sample.Read(Layout.WithRecords(file, records));
            return null;
        }
        catch (XlStreamException e)
        {
            return e;
        }
    }

    private sealed class Emulator : XlVisitor
    {
        internal string? Seen { get; private set; }

        public override void OnEmulator(bool isContext, uint emulator, uint index, ReadOnlySpan<byte> data) =>
            Seen = $"{isContext} {emulator} {index} {data[0]}";
    }
}
