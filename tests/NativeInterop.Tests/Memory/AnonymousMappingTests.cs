using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Memory;

public class AnonymousMappingTests
{
    [Fact]
    public void Memory_is_zero_at_first_and_keeps_what_is_written()
    {
        using var mapping = new AnonymousMapping(3 * 4096);
        Assert.False(mapping.Span(0, 3 * 4096).ContainsAnyExcept((byte)0));
        mapping.Span(4095, 2).Fill(7);
        Assert.Equal([0, 7, 7, 0], mapping.Span(4094, 4).ToArray());
    }

    [Fact]
    public void A_mapping_may_be_larger_than_memory()
    {
        const long Length = 1L << 40;
        using var mapping = new AnonymousMapping(Length);
        mapping.Span(Length - 1, 1)[0] = 1;
        Assert.Equal(1, mapping.Span(Length - 2, 2)[1]);
    }

    [Theory]
    [InlineData(0, 4097)]
    [InlineData(4096, 1)]
    [InlineData(-1, 1)]
    [InlineData(1, 4096)]
    [InlineData(0, -1)]
    [InlineData(long.MaxValue, 1)]
    [InlineData(long.MinValue, 1)]
    public void A_range_outside_is_rejected(long offset, int length)
    {
        using var mapping = new AnonymousMapping(4096);
        Assert.Throws<ArgumentOutOfRangeException>(() => mapping.Span(offset, length));
    }

    [Fact]
    public void The_end_may_be_viewed_empty()
    {
        using var mapping = new AnonymousMapping(4096);
        Assert.True(mapping.Span(4096, 0).IsEmpty);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-4096)]
    public void A_length_that_is_not_positive_is_rejected(long length) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new AnonymousMapping(length));

    [Fact]
    public void A_mapping_that_the_kernel_refuses_names_the_reason()
    {
        IOException e = Assert.Throws<IOException>(() => new AnonymousMapping(long.MaxValue - 4096));
        Assert.Contains("ENOMEM", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_is_reachable_after_disposal()
    {
        var mapping = new AnonymousMapping(4096);
        mapping.Dispose();
        mapping.Dispose();
        Assert.Throws<ObjectDisposedException>(() => mapping.Span(0, 1));
        Assert.Throws<ObjectDisposedException>(mapping.Lock);
        Assert.Throws<ObjectDisposedException>(mapping.Discard);
    }

    [Fact]
    public void Discarded_memory_is_zero_again()
    {
        using var mapping = new AnonymousMapping(2 * 4096);
        mapping.Span(0, 2 * 4096).Fill(9);
        mapping.Discard();
        Assert.False(mapping.Span(0, 2 * 4096).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void Locked_memory_is_resident_and_cannot_be_discarded()
    {
        using var mapping = new AnonymousMapping(4 * 4096);
        mapping.Span(0, 1)[0] = 5;
        mapping.Lock();
        IOException e = Assert.Throws<IOException>(mapping.Discard);
        Assert.Contains("EINVAL", e.Message, StringComparison.Ordinal);
        Assert.Equal(5, mapping.Span(0, 1)[0]);
    }
}
