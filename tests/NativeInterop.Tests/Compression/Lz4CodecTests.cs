using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Headers;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Compression;

/// <summary>liblz4 and K4os are one to whoever uses <see cref="Lz4"/>.</summary>
public class Lz4CodecTests
{
    private static readonly ManagedLz4 Managed = new();
    private static readonly ILz4Codec Native = Lz4.Choose(Lz4H.Library);

    [Fact]
    public void The_library_is_used_where_it_is_there()
    {
        Assert.Matches(@"^liblz4 1\.\d+\.\d+$", Native.Name);
        Assert.Equal(Native.Name, Lz4.Implementation);
    }

    [Fact]
    public void K4os_compresses_where_the_library_is_missing()
    {
        ILz4Codec codec = Lz4.Choose("liblz4.so.0");
        Assert.Matches(@"^K4os 1\.\d+\.\d+ \(no liblz4\)$", codec.Name);
        byte[] block = new byte[100];
        Assert.InRange(Lz4.Compress(codec, new byte[4096], block), 1, 64);
    }

    // Around where the table of the compressor changes (65,547 bytes), and where a block has no match yet (13).
    [Fact]
    public void Both_make_the_same_block() => Prop.ForAll(
        Arb.From(from length in Gen.OneOf(
                     Gen.Choose(0, 20), Gen.Choose(65_540, 65_550), Gen.Elements(4096, 65_536, 262_144), Gen.Choose(0, 300_000))
                 from seed in Gen.Choose(0, int.MaxValue)
                 select (length, seed)),
        c =>
        {
            byte[] data = PageData.Make(new Random(c.seed), c.length);
            int max = Lz4.MaxCompressedLength(c.length);
            Assert.Equal(Lz4H.LZ4_compressBound(c.length), max);
            byte[] native = new byte[max];
            byte[] managed = new byte[max];
            int length = Lz4.Compress(Native, data, native);
            Assert.InRange(length, 1, max);
            Assert.Equal(length, Lz4.Compress(Managed, data, managed));
            Assert.Equal(native, managed);
            Assert.True(Lz4Block.IsValid(native.AsSpan(0, length), c.length));
        }).Check(Properties.Quiet);

    [Fact]
    public void Both_agree_on_what_does_not_fit() => Prop.ForAll(
        Arb.From(from length in Gen.OneOf(Gen.Choose(0, 300), Gen.Choose(0, 70_000))
                 from seed in Gen.Choose(0, int.MaxValue)
                 from room in Gen.Choose(-20, 20)
                 select (length, seed, room)),
        c =>
        {
            byte[] data = PageData.Make(new Random(c.seed), c.length);
            int needed = Lz4.Compress(Native, data, new byte[Lz4.MaxCompressedLength(c.length)]);
            byte[] native = new byte[Math.Max(0, needed + c.room)];
            byte[] managed = new byte[native.Length];
            int length = Lz4.Compress(Native, data, native);
            Assert.Equal(length, Lz4.Compress(Managed, data, managed));
            Assert.Equal(native.AsSpan(0, length), managed.AsSpan(0, length));
            Assert.True(length > 0 || c.room < 0);
        }).Check(Properties.Quiet);

    [Fact]
    public void Nothing_is_a_block_of_one_byte() => Assert.All([Native, Managed], codec =>
    {
        byte[] block = [0xa5, 0xa5];
        Assert.Equal(1, Lz4.Compress(codec, [], block));
        Assert.Equal([0, 0xa5], block);
        Assert.Equal(0, Lz4.Compress(codec, [], []));
        Assert.True(Lz4.TryDecompress(block.AsSpan(0, 1), []));
    });
}
