using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.XlStream.Tests;

public class WriterTests
{
    // Written out by hand from the specifications, so that no constant of the library vouches for itself.
    [Fact]
    public void A_small_file_has_these_bytes()
    {
        const string Json = """{"c_info":{"type":"pvh","name":"a"}}""";
        var stream = new MemoryStream();
        var state = new XlHvmState(
            default, default, new XlTsc(1, 0x0203, 4, 5), new Dictionary<uint, ulong> { [6] = 7, [1] = 0x12345 },
            new byte[] { 0xaa, 0xbb, 0xcc });
        XlStreamWriter writer = XlStreamWriter.Start(stream, new XlDomain(Json, 4, 20, XlGuestKind.Hvm), state);
        writer.WritePages([new PfnRun(0x123456789, 2)], new byte[2 * Sample.Page]);
        writer.WritePages([5], [XlPageType.AllocateOnly], []);
        writer.Complete();

        byte[] expected =
        [
            .. "Xen saved domain, xl format\n \0 \r"u8,
            4, 3, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 4 + 36 + 1, 0, 0, 0, 36 + 1, 0, 0, 0,
            .. """{"c_info":{"type":"pvh","name":"a"}}"""u8, 0,
            .. "LibxlFmt"u8, 0, 0, 0, 2, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, .. "XENF"u8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 20, 0, 0, 0,
            0x10, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0x18, 0x20, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
            0x89, 0x67, 0x45, 0x23, 1, 0, 0, 0, 0x8a, 0x67, 0x45, 0x23, 1, 0, 0, 0, .. new byte[8192],
            1, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0xe0,
            8, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
            10, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 0, 0, 0, 0, 0x45, 0x23, 1, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
            9, 0, 0, 0, 3, 0, 0, 0, 0xaa, 0xbb, 0xcc, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,
        ];
        Assert.Equal(expected, stream.ToArray());
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(-1, 1)]
    [InlineData(5, -1)]
    [InlineData(long.MaxValue, 1)]
    [InlineData(Sample.LastPfn, 2)]
    public void A_run_that_is_none_is_refused_and_nothing_written(long first, int count)
    {
        XlStreamWriter writer = Sample.Start(Stream.Null, XlGuestKind.Pv);
        long before = writer.BytesWritten;
        Assert.Throws<ArgumentException>(
            "runs", () => writer.WritePages([new PfnRun(0, 1), new PfnRun(first, count)], new byte[4096]));
        Assert.Equal(before, writer.BytesWritten);
        writer.WritePages([new PfnRun(Sample.LastPfn, 1)], new byte[4096]);
    }

    [Fact]
    public void Data_of_another_length_is_refused()
    {
        XlStreamWriter writer = Sample.Start(Stream.Null, XlGuestKind.Hvm);
        Assert.Throws<ArgumentException>("data", () => writer.WritePages([new PfnRun(0, 2)], new byte[4096]));
        Assert.Throws<ArgumentException>("data", () => writer.WritePages([new PfnRun(0, 1)], new byte[8192]));
        Assert.Throws<ArgumentException>(
            "data", () => writer.WritePages([1, 2], [XlPageType.Normal, XlPageType.Broken], new byte[8192]));
        Assert.Throws<ArgumentException>("types", () => writer.WritePages([1, 2], [XlPageType.Normal], new byte[4096]));
        Assert.Throws<ArgumentException>("pfns", () => writer.WritePages([1L << 52], [XlPageType.Broken], []));
        Assert.Throws<ArgumentException>("pfns", () => writer.WritePages([-1], [XlPageType.Broken], []));
    }

    [Theory]
    [InlineData(XlGuestKind.Pv, 5, false)]
    [InlineData(XlGuestKind.Pv, 8, false)]
    [InlineData(XlGuestKind.Pv, 16, false)]
    [InlineData(XlGuestKind.Pv, 12, true)]
    [InlineData(XlGuestKind.Hvm, 12, false)]
    [InlineData(XlGuestKind.Hvm, 1, false)]
    public void Types_are_those_of_the_guest(XlGuestKind kind, byte type, bool right)
    {
        XlStreamWriter writer = Sample.Start(Stream.Null, kind);
        void Write() => writer.WritePages([1], [(XlPageType)type], new byte[4096]);
        if (right)
        {
            Write();
        }
        else
        {
            Assert.Throws<ArgumentException>("types", Write);
        }
    }

    [Fact]
    public void Nothing_is_written_after_the_end_or_a_failure()
    {
        XlStreamWriter writer = Sample.Start(Stream.Null, XlGuestKind.Hvm);
        writer.Complete();
        Assert.Throws<InvalidOperationException>(writer.Complete);
        Assert.Throws<InvalidOperationException>(() => writer.WritePages([], []));

        writer = Sample.Start(new MemoryStream(new byte[8000]), XlGuestKind.Hvm);
        Assert.Throws<NotSupportedException>(() => writer.WritePages([new PfnRun(0, 2)], new byte[8192]));
        Assert.Throws<InvalidOperationException>(() => writer.WritePages([], [], []));
        Assert.Throws<InvalidOperationException>(writer.Complete);
    }

    public static TheoryData<string> BadDomains => new("pv", "hvm", "null");

    [Theory]
    [MemberData(nameof(BadDomains))]
    public void A_configuration_of_another_kind_is_refused(string type) => Assert.Throws<ArgumentException>(
        () => XlStreamWriter.Start(
            Stream.Null, Sample.Domain(XlGuestKind.Hvm) with { ConfigJson = Sample.Config(type) }, Sample.Hvm));

    [Fact]
    public void A_domain_that_is_none_is_refused()
    {
        XlDomain domain = Sample.Domain(XlGuestKind.Hvm);
        Assert.Throws<ArgumentException>(() => XlStreamWriter.Start(Stream.Null, domain, Sample.Pv));
        Refused(domain with { Kind = XlGuestKind.Pv }, Sample.Hvm);
        Refused(domain with { XenMajor = 0 }, Sample.Hvm);
        Refused(domain with { ConfigJson = "" }, Sample.Hvm);
        Refused(domain, Sample.Hvm with { CpuidPolicy = new byte[25] });
        Refused(domain, Sample.Hvm with { MsrPolicy = new byte[8] });
        Refused(domain, Sample.Hvm with { HvmContext = default });
        Refused(domain, Sample.Hvm with { HvmParams = new Dictionary<uint, ulong> { [1] = 0 } });

        static void Refused(XlDomain domain, XlHvmState state)
        {
            var stream = new MemoryStream();
            Assert.Throws<ArgumentException>(() => XlStreamWriter.Start(stream, domain, state));
            Assert.Equal(0, stream.Length);
        }
    }

    [Fact]
    public void A_PV_state_that_is_none_is_refused()
    {
        XlPvState pv = Sample.Pv;
        XlPvVcpu first = pv.Vcpus[0], second = pv.Vcpus[1];
        Refused(pv with { GuestWidth = 4 });
        Refused(pv with { SharedInfo = new byte[4095] });
        Refused(pv with { P2m = pv.P2m with { Frames = new long[15] } });
        Refused(pv with { P2m = pv.P2m with { FirstPfn = Sample.LastPfn + 1 } });
        Refused(pv with { P2m = pv.P2m with { LastPfn = 7700, Frames = Enumerable.Repeat(7701L, 16).ToArray() } });
        Refused(pv with { Vcpus = [second] });
        Refused(pv with { Vcpus = [first, first] });
        Refused(pv with { Vcpus = [first, second with { Id = 8192 }] });
        Refused(pv with { Vcpus = [first with { Basic = default }] });
        Refused(pv with { Vcpus = [first with { Basic = new byte[2800] }] });
        Refused(pv with { Vcpus = [first with { Extended = new byte[129] }] });
        Refused(pv with { Vcpus = [first with { Xsave = new byte[15] }] });
        Refused(pv with { Vcpus = [first with { Msrs = new byte[17] }] });

        static void Refused(XlPvState state)
        {
            var stream = new MemoryStream();
            Assert.Throws<ArgumentException>(
                nameof(state), () => XlStreamWriter.Start(stream, Sample.Domain(XlGuestKind.Pv), state));
            Assert.Equal(0, stream.Length);
        }
    }
}
