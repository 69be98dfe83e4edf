using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream.Tests;

public class DamageTests
{
    public static TheoryData<XlGuestKind> Kinds => new(XlGuestKind.Pv, XlGuestKind.Hvm);

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_truncation_is_found(XlGuestKind kind)
    {
        byte[] file = Sample.Small(kind);
        for (int length = 0; length < file.Length; length++)
        {
            XlStreamException e = Fails(file[..length])!;
            Assert.True(e is not null, $"a cut after {length} bytes was not found");
            Assert.InRange(e.Offset, 0, length);
            Assert.Contains("the end of the stream", e.Found, StringComparison.Ordinal);
        }

        Assert.Null(Fails(file));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_flipped_bit_is_found_that_the_format_can_tell(XlGuestKind kind)
    {
        byte[] file = Sample.Small(kind);
        bool[][] free = Free(file);
        int found = 0;
        for (int at = 0; at < file.Length; at++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                if (free[at][bit])
                {
                    continue;
                }

                byte[] damaged = [.. file];
                damaged[at] ^= (byte)(1 << bit);
                Assert.True(Fails(damaged) is not null, $"bit {bit} of byte {at} was not found");
                found++;
            }
        }

        Assert.InRange(found, 1500, int.MaxValue);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void No_damage_gets_anything_but_the_right_exception(XlGuestKind kind)
    {
        byte[] file = Sample.Small(kind);
        List<(int At, uint Type, int Length)> records = Layout.Records(file);
        var random = new Random(1);
        int rejected = 0;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] wrong = [.. file];
            for (int n = random.Next(1, 4); n > 0; n--)
            {
                // Fields are in the first bytes of a record; high values find missing bounds.
                (int start, _, int length) = records[random.Next(records.Count)];
                int at = random.Next(5) == 0 ? random.Next(200) : start + random.Next(Math.Min(8 + length, 64));
                wrong[at] = (byte)(random.Next(3) == 0 ? 0xff : random.Next(256));
            }

            rejected += Fails(wrong) is null ? 0 : 1;
        }

        Assert.InRange(rejected, 5000, 20_000);
    }

    [Theory]
    [InlineData(9u)]
    [InlineData(0x80000013u)]
    public void Padding_is_zero(uint type)
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        List<byte[]> records = Layout.Split(file);
        for (int length = 1; length <= 8; length++)
        {
            byte[] record = Layout.Record(type, Sample.Bytes(length, length));
            byte[] changed = Layout.WithRecords(
                file, type == 9 ? [.. records[..7], record, records[8]] : [.. records[..7], record, .. records[7..]]);
            Assert.Null(Fails(changed));
            int end = changed.Length - (type == 9 ? 16 : 16 + 1008);
            for (int at = end - 8 + length; at < end; at++)
            {
                byte[] damaged = [.. changed];
                damaged[at] = 1;
                Assert.Contains("padding", Fails(damaged)!.Expected, StringComparison.Ordinal);
            }
        }
    }

    [Theory]
    [InlineData(9u)]
    [InlineData(1u)]
    [InlineData(0x80000001u)]
    public void A_length_that_lies_asks_for_no_memory(uint type)
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        byte[] head = Layout.Record(type);
        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(4), 128 << 20);
        byte[] start = Layout.WithRecords(file, [.. Layout.Split(file)[..3], head])[..^8];
        byte[] cut = [.. start, .. BitConverter.GetBytes(32768), .. new byte[1020]];
        _ = Fails(cut);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.NotNull(Fails(cut));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 512 << 10);

        // One byte more than a receiver takes.
        BinaryPrimitives.WriteUInt32LittleEndian(cut.AsSpan(start.Length - 4), (128 << 20) + 1);
        Assert.Contains("a record's length", Fails(cut)!.Expected, StringComparison.Ordinal);
    }

    [Fact]
    public void A_configuration_whose_length_lies_asks_for_no_memory()
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(44), 16 << 20);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(48), (16 << 20) - 4);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.NotNull(Fails(file));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 512 << 10);
    }

    [Fact]
    public void An_exception_says_where_and_what()
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        int at = Layout.LibxcStart(file) + 12;
        file[at + 3] = 2;
        XlStreamException e = Fails(file)!;
        Assert.Equal((at, "a stream version of 0x3", "0x2"), (e.Offset, e.Expected, e.Found));
        Assert.Equal($"Offset {at}: expected a stream version of 0x3, found 0x2.", e.Message);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(0)]
    public void A_configuration_needs_its_nul_at_its_end_only(int fromEnd)
    {
        byte[] file = Sample.Small(XlGuestKind.Hvm);
        int end = 48 + (int)BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(44)) - 1;
        Assert.Equal(0, file[end]);
        file[end - fromEnd] = fromEnd == 0 ? (byte)'x' : (byte)0;
        Assert.Contains("NUL", Fails(file)!.Expected, StringComparison.Ordinal);
        file[end - 1] = 0xff;
        file[end - fromEnd] = 0xff;
        file[end] = 0;
        Assert.Contains("UTF-8", Fails(file)!.Expected, StringComparison.Ordinal);
    }

    private static XlStreamException? Fails(byte[] file)
    {
        try
        {
            new XlStreamReader(new MemoryStream(file)).ReadToEnd(new Ignore());
            return null;
        }
        catch (XlStreamException e)
        {
            return e;
        }
    }

    /// <summary>The bits that may have any value: contents, and what has no redundancy.</summary>
    private static bool[][] Free(byte[] file)
    {
        bool[][] free = [.. file.Select(_ => new bool[8])];
        int libxc = Layout.LibxcStart(file);

        // Letters of the configuration may become others; bit 7 would be no UTF-8.
        for (int at = 52; at < libxc - 25; at++)
        {
            Mark(at, 0x7f);
        }

        // The release: 16 bits each.
        Span(libxc + 32, 2);
        Span(libxc + 36, 2);
        foreach ((int at, uint type, int length) in Layout.Records(file))
        {
            int body = at + 8;
            switch (type)
            {
                case 1:
                    // Bit 31 makes an optional record of it, which is skipped.
                    Mark(at + 3, 0x80);
                    int count = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(body));
                    bool pv = Layout.Records(file).Any(r => r.Type == 2);
                    for (int i = 0; i < count; i++)
                    {
                        // PFNs: 52 bits, of a PV guest 0 to 8000, so bit 12 only where the rest stays below.
                        int pfn = body + 8 + (i * 8);
                        Span(pfn, pv ? 1 : 6);
                        Mark(pfn + 1, pv ? 0x1f : 0xff);
                        Mark(pfn + 6, pv ? 0 : 0x0f);

                        // Types with the same amount of data.
                        Mark(pfn + 7, 0xf0);
                    }

                    Span(body + 8 + (count * 8), length - 8 - (count * 8));
                    break;
                case 2 or 0x10 or 0:
                    break;
                case 3:
                    // The first and the last PFN within the same frames; frames up to the last PFN.
                    Mark(body, 0xff);
                    Mark(body + 1, 0x01);
                    Mark(body + 4, 0xff);
                    Mark(body + 5, 0x01);
                    for (int i = 8; i < length; i += 8)
                    {
                        Span(body + i, 1);
                        Mark(body + i + 1, 0x1f);
                    }

                    break;
                case 4 or 5 or 6 or 0xc:
                    Mark(at + 3, 0x80);
                    Span(body, 1);
                    Mark(body + 1, 0x1f);
                    Span(body + 8, length - 8);
                    break;
                case 8:
                    Span(body, 20);
                    break;
                case 0xa:
                    Mark(at + 3, 0x80);
                    for (int i = 8; i < length; i += 16)
                    {
                        Span(body + i, 4);
                        Span(body + i + 8, 8);
                    }

                    break;
                case 0x11 or 0x12:
                    Mark(at + 3, 0x80);
                    Span(body, length);
                    break;
                default:
                    Span(body, length);
                    break;
            }
        }

        return free;

        void Span(int at, int length)
        {
            for (int i = at; i < at + length; i++)
            {
                Mark(i, 0xff);
            }
        }

        void Mark(int at, int bits)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                free[at][bit] |= (bits & (1 << bit)) != 0;
            }
        }
    }

    private sealed class Ignore : XlVisitor;
}
