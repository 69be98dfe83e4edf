using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.NativeInterop.Compression;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Compression;

public class Lz4Tests
{
    // From noise, which does not compress, to a single value; lengths around a guest page.
    private static readonly Gen<byte[]> Data =
        from length in Gen.OneOf(Gen.Elements(0, 1, 4095, 4096, 4097), Gen.Choose(0, 70_000))
        from seed in Gen.Choose(0, int.MaxValue)
        from values in Gen.Elements(1, 2, 16, 256)
        select Random(length, seed, values);

    [Fact]
    public void What_was_compressed_comes_back() => Prop.ForAll(
        Arb.From(Data),
        data =>
        {
            byte[] block = new byte[Lz4.MaxCompressedLength(data.Length)];
            AssertRoundTrip(data, block.AsSpan(0, Lz4.Compress(data, block)));
        }).Check(Properties.Quiet);

    [Fact]
    public void A_zero_page_becomes_small()
    {
        byte[] block = new byte[Lz4.MaxCompressedLength(4096)];
        Assert.InRange(Lz4.Compress(new byte[4096], block), 1, 64);
    }

    [Fact]
    public void A_destination_that_is_too_small_gives_zero()
    {
        byte[] noise = Random(4096, 1, 256);
        Assert.Equal(0, Lz4.Compress(noise, new byte[4096]));
        Assert.Equal(0, Lz4.Compress(noise, []));
    }

    [Fact]
    public void Data_of_another_length_than_the_destination_are_refused()
    {
        byte[] block = new byte[Lz4.MaxCompressedLength(4096)];
        int length = Lz4.Compress(new byte[4096], block);
        Assert.False(Lz4.TryDecompress(block.AsSpan(0, length), new byte[4095]));
        Assert.False(Lz4.TryDecompress(block.AsSpan(0, length), new byte[4097]));
        Assert.False(Lz4.TryDecompress(block.AsSpan(0, length), []));
    }

    [Fact]
    public void A_block_that_was_cut_is_refused()
    {
        byte[] data = Random(4096, 7, 16);
        byte[] block = new byte[Lz4.MaxCompressedLength(data.Length)];
        int length = Lz4.Compress(data, block);
        for (int cut = 0; cut < length; cut++)
        {
            Assert.False(Lz4.TryDecompress(block.AsSpan(0, cut), new byte[data.Length]));
        }
    }

    [Fact]
    public void Noise_never_writes_outside_the_destination() => Prop.ForAll(
        Arb.From(Data),
        noise =>
        {
            byte[] output = new byte[4096 + 64];
            output.AsSpan(4096).Fill(0xa5);
            _ = Lz4.TryDecompress(noise, output.AsSpan(0, 4096));
            Assert.False(output.AsSpan(4096).ContainsAnyExcept((byte)0xa5));
        }).Check(Properties.Quiet);

    [Theory]
    [InlineData(-1)]
    [InlineData(Lz4.MaxInputLength + 1)]
    public void A_length_that_no_block_has_is_rejected(int length) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Lz4.MaxCompressedLength(length));

    private static void AssertRoundTrip(byte[] data, ReadOnlySpan<byte> block)
    {
        Assert.False(block.IsEmpty);
        byte[] output = new byte[data.Length];
        Assert.True(Lz4.TryDecompress(block, output));
        Assert.Equal(data, output);
    }

    private static byte[] Random(int length, int seed, int values)
    {
        var random = new Random(seed);
        byte[] data = new byte[length];
        for (int i = 0; i < length; i++)
        {
            data[i] = (byte)random.Next(values);
        }

        return data;
    }
}
