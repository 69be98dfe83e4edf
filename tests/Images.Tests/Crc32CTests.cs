using XenTwoLevelCkpt.Images.Format;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public sealed class Crc32CTests
{
    [Fact]
    public void The_check_value_is_that_of_the_catalogue() =>
        Assert.Equal(0xE3069283, Crc32C.Compute("123456789"u8));

    // Around one and two groups of three lanes, where the ways to take the data change.
    [Theory]
    [InlineData(0)]
    [InlineData(12287)]
    [InlineData(12288)]
    [InlineData(12289)]
    [InlineData(24576)]
    [InlineData(40001)]
    public void Long_data_in_lanes_gives_what_it_gives_bit_by_bit(int length)
    {
        byte[] data = new byte[length];
        new Random(length).NextBytes(data);
        Assert.Equal(Reference(data), Crc32C.Compute(data));
        Assert.Equal(Reference(data), Crc32C.Append(Crc32C.Compute(data.AsSpan(0, length / 3)), data.AsSpan(length / 3)));
    }

    private static uint Reference(ReadOnlySpan<byte> data)
    {
        uint state = uint.MaxValue;
        foreach (byte value in data)
        {
            state ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                state = (state >> 1) ^ ((state & 1) * 0x82F63B78);
            }
        }

        return ~state;
    }
}
