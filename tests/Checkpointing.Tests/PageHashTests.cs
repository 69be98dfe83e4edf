using System.Numerics;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Checkpointing.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

public class PageHashTests
{
    private const int Words = PageSize.Bytes / sizeof(ulong);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void It_is_NH_of_64_bit_words(int seed)
    {
        (ulong[] key, ulong[] page) = KeyAndPage(seed);
        BigInteger sum = 0;
        for (int i = 0; i < Words; i += 2)
        {
            sum += Sum(i) * Sum(i + 1);
        }

        Assert.Equal((UInt128)(sum % (BigInteger.One << 128)), new PageHash(key).Of(MemoryMarshal.AsBytes(page.AsSpan())));

        BigInteger Sum(int i) => (new BigInteger(key[i]) + page[i]) % (BigInteger.One << 64);
    }

    [Fact]
    public void Every_bit_of_a_page_counts()
    {
        (ulong[] key, ulong[] page) = KeyAndPage(4);
        var hash = new PageHash(key);
        var seen = new HashSet<UInt128> { hash.Of(MemoryMarshal.AsBytes(page.AsSpan())) };
        for (int bit = 0; bit < PageSize.Bytes * 8; bit++)
        {
            page[bit / 64] ^= 1UL << (bit % 64);
            Assert.True(seen.Add(hash.Of(MemoryMarshal.AsBytes(page.AsSpan()))), $"bit {bit}");
            page[bit / 64] ^= 1UL << (bit % 64);
        }
    }

    [Fact]
    public void Two_of_them_have_different_keys() =>
        Assert.NotEqual(new PageHash().Of(new byte[PageSize.Bytes]), new PageHash().Of(new byte[PageSize.Bytes]));

    private static (ulong[] Key, ulong[] Page) KeyAndPage(int seed)
    {
        var random = new Random(seed);
        ulong[] key = new ulong[Words], page = new ulong[Words];
        random.NextBytes(MemoryMarshal.AsBytes(key.AsSpan()));
        random.NextBytes(MemoryMarshal.AsBytes(page.AsSpan()));
        return (key, page);
    }
}
