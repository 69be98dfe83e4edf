using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.NativeInterop.Compression;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests;

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
    public void What_was_compressed_hard_comes_back() => Prop.ForAll(
        Arb.From(from data in Data
                 from level in Gen.Choose(Lz4.MinHcLevel, Lz4.MaxHcLevel)
                 select (data, level)),
        c =>
        {
            byte[] block = new byte[Lz4.MaxCompressedLength(c.data.Length)];
            AssertRoundTrip(c.data, block.AsSpan(0, Lz4.CompressHc(c.data, block, c.level)));
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
        Assert.Equal(0, Lz4.CompressHc(noise, new byte[4096]));
        Assert.Equal(0, Lz4.Compress(noise, []));
        Assert.Equal(0, Lz4.CompressHc([], []));
    }

    [Fact]
    public void Data_longer_than_the_destination_is_rejected()
    {
        byte[] block = new byte[Lz4.MaxCompressedLength(4096)];
        int length = Lz4.Compress(new byte[4096], block);
        Assert.Throws<InvalidDataException>(() => Lz4.Decompress(block.AsSpan(0, length), new byte[4095]));
        Assert.Throws<InvalidDataException>(() => Lz4.Decompress(block.AsSpan(0, length), []));
    }

    [Fact]
    public void A_block_that_was_cut_is_rejected_or_shorter()
    {
        byte[] data = Random(4096, 7, 16);
        byte[] block = new byte[Lz4.MaxCompressedLength(data.Length)];
        int length = Lz4.Compress(data, block);
        for (int cut = 0; cut < length; cut++)
        {
            byte[] output = new byte[data.Length];
            try
            {
                Assert.InRange(Lz4.Decompress(block.AsSpan(0, cut), output), 0, data.Length - 1);
            }
            catch (InvalidDataException)
            {
                continue;
            }
        }
    }

    [Fact]
    public void Corrupt_blocks_never_write_outside_the_destination() => Prop.ForAll(
        Arb.From(Data),
        noise =>
        {
            byte[] output = new byte[4096 + 64];
            output.AsSpan(4096).Fill(0xa5);
            try
            {
                Assert.InRange(Lz4.Decompress(noise, output.AsSpan(0, 4096)), 0, 4096);
            }
            catch (InvalidDataException)
            {
                // Rejected: as good.
            }

            Assert.False(output.AsSpan(4096).ContainsAnyExcept((byte)0xa5));
        }).Check(Properties.Quiet);

    [Fact]
    public void An_empty_block_is_corrupt() =>
        Assert.Throws<InvalidDataException>(() => Lz4.Decompress([], new byte[16]));

    [Theory]
    [InlineData(-1)]
    [InlineData(Lz4.MaxInputLength + 1)]
    public void A_length_that_no_block_has_is_rejected(int length) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Lz4.MaxCompressedLength(length));

    [Theory]
    [InlineData(Lz4.MinHcLevel - 1)]
    [InlineData(Lz4.MaxHcLevel + 1)]
    public void A_level_that_does_not_exist_is_rejected(int level) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Lz4.CompressHc(new byte[1], new byte[100], level));

    private static void AssertRoundTrip(byte[] data, ReadOnlySpan<byte> block)
    {
        Assert.False(block.IsEmpty);
        byte[] output = new byte[data.Length];
        Assert.Equal(data.Length, Lz4.Decompress(block, output));
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
