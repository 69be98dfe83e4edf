using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class ChecksumTests
{
    [Fact]
    public void Check_value() => Assert.Equal(0xE3069283u, Crc32C.Of("123456789"u8));

    // The examples of RFC 3720, appendix B.4, read as little-endian numbers.
    [Fact]
    public void Examples_of_the_rfc()
    {
        Assert.Equal(0x8A9136AAu, Crc32C.Of(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32C.Of([.. Enumerable.Repeat((byte)0xFF, 32)]));
        Assert.Equal(0x46DD794Eu, Crc32C.Of([.. Enumerable.Range(0, 32).Select(i => (byte)i)]));
    }

    [Fact]
    public void It_may_be_made_in_pieces()
    {
        Assert.Equal(0xE3069283u, new Crc32C().Add("1234"u8).Add([]).Add("56789"u8).Value);
        Assert.Equal(Crc32C.Of([0x44, 0x33, 0x22, 0x11]), new Crc32C().Add(0x11223344).Value);
        Assert.Equal(0u, Crc32C.Of([]));
    }
}
