using System.Buffers.Binary;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class HeaderTests
{
    private static ImageBuilder Changed(ImageBuilder image, int at, params byte[] octets) =>
        image.With(i => i.ChangeHeader = header => octets.CopyTo(header, at));

    private static byte[] OfSize(uint size, uint version, bool damaged = false)
    {
        byte[] image = new byte[Math.Max(size, 16u)];
        "XTLIMG\r\n"u8.CopyTo(image);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(8), version);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(12), size);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(image.Length - 4), Crc32C.Of(image.AsSpan(0, image.Length - 4)));
        image[8] ^= damaged ? (byte)0x10 : (byte)0;
        return image;
    }

    [Fact]
    public void The_smallest_images_are_read()
    {
        ImageFile.Read(ImageBuilder.Memory(0).Build());
        ImageFile.Read(ImageBuilder.Memory(1ul << 32).Runs((uint.MaxValue, 1, 1)).Build());
        ImageFile.Read(ImageBuilder.Registers().Build());
        Assert.Equal("xvda", ImageFile.Read(ImageBuilder.Device(0).Build()).Disk!.Name);
        Assert.Equal("share", ImageFile.Read(ImageBuilder.Layers().Build()).Disk!.Name);
    }

    [Fact]
    public void The_checks_come_in_their_order()
    {
        Refuse.Image("the magic", Changed(ImageBuilder.Memory(1), 0, 0x59));
        Refuse.Image("32 to 4096", OfSize(31, 1));
        Refuse.Image("32 to 4096", OfSize(4097, 1));
        Refuse.Image("checksum matches", OfSize(32, 2, damaged: true));
        Refuse.Image("the version is 1", OfSize(32, 2));
        Refuse.Image("the version is 1", OfSize(4096, 0x10001));
        Refuse.Image("the version is 1", OfSize(160, 0));
        Refuse.Image("of version 1 is 160", OfSize(32, 1));
        Refuse.Image("of version 1 is 160", OfSize(164, 1));
    }

    [Theory]
    [InlineData(95, "reserved header flags")]
    [InlineData(96, "compression")]
    [InlineData(97, "compression")]
    [InlineData(98, "encryption")]
    [InlineData(99, "encryption")]
    [InlineData(100, "reserved octets")]
    [InlineData(103, "reserved octets")]
    [InlineData(104, "key id")]
    [InlineData(119, "key id")]
    [InlineData(120, "nonce prefix")]
    [InlineData(143, "nonce prefix")]
    [InlineData(144, "reserved octets")]
    [InlineData(155, "reserved octets")]
    public void Octets_that_are_zero_in_version_1(int at, string rule) =>
        Refuse.Image(rule, Changed(ImageBuilder.Memory(1), at, 2));

    [Fact]
    public void Identity()
    {
        Refuse.Image("domain is not zero", ImageBuilder.Memory(1).With(i => i.Domain = Guid.Empty));
        Refuse.Image("checkpoint id is not zero", ImageBuilder.Memory(1).At(0, 1));
        Refuse.Image("full image has no parent", ImageBuilder.Memory(1).With(i => i.Parent = ImageBuilder.Id(9)));
        Refuse.Image("increment has a parent", ImageBuilder.Memory(1).With(i => i.Kind = ImageKind.Increment));
        Refuse.Image("not its own parent", ImageBuilder.Memory(1).At(3, 1, 3));
        Refuse.Image("have increments", ImageBuilder.Registers().At(3, 2, 1));
        Refuse.Image("kind is", Changed(ImageBuilder.Memory(1), 94, 0));
        Refuse.Image("kind is", Changed(ImageBuilder.Memory(1), 94, 3));
        Refuse.Image("content is", Changed(ImageBuilder.Memory(1), 92, 0));
        Refuse.Image("content is", Changed(ImageBuilder.Memory(1), 92, 6));
        Refuse.Image("content is", Changed(ImageBuilder.Memory(1), 93, 1));
        ImageFile.Read(ImageBuilder.Memory(1).At(3, 2, 1).Build());
        ImageFile.Read(ImageBuilder.Layers().At(3, 2, 1).Build());
    }

    [Fact]
    public void Only_what_can_be_an_increment_is_folded_and_then_full()
    {
        Refuse.Image("are folded", Changed(ImageBuilder.Registers(), 95, 1));
        Refuse.Image("are folded", Changed(ImageBuilder.Memory(1).At(3, 2, 1), 95, 1));
        Assert.True(ImageFile.Read(Changed(ImageBuilder.Memory(1), 95, 1).Build()).Header.IsFolded);
        Assert.True(ImageFile.Read(Changed(ImageBuilder.Layers(), 95, 1).Build()).Header.IsFolded);
    }

    [Fact]
    public void A_later_format_is_told_from_damage()
    {
        static bool IsLater(byte[] image) =>
            Assert.Throws<FormatViolationException>(() => ImageFile.Read(image)).IsLaterFormat;
        Assert.True(IsLater(OfSize(32, 2)));
        Assert.True(IsLater(Changed(ImageBuilder.Memory(1), 96, 2).Build()));
        Assert.True(IsLater(Changed(ImageBuilder.Memory(1), 98, 1).Build()));
        Assert.True(IsLater(ImageBuilder.Memory(1).Record(4, []).Build()));
        Assert.False(IsLater(OfSize(32, 2, damaged: true)));
        Assert.False(IsLater(Changed(ImageBuilder.Memory(1), 94, 3).Build()));
    }

    [Fact]
    public void Created_is_before_the_year_10000()
    {
        byte[] last = BitConverter.GetBytes(253402300799999999);
        Assert.Equal(253402300799999999u, ImageFile.Read(Changed(ImageBuilder.Memory(1), 72, last).Build()).Header.Created);
        Refuse.Image("year 9999", Changed(ImageBuilder.Memory(1), 72, BitConverter.GetBytes(253402300800000000)));
    }

    [Fact]
    public void Units()
    {
        Refuse.Image("at most 2^32", ImageBuilder.Memory((1ul << 32) + 1));
        Refuse.Image("memory is 4096", ImageBuilder.Memory(1).With(i => i.UnitSize = 8192));
        Refuse.Image("power of two", ImageBuilder.Device(512).With(i => i.UnitSize = 256));
        Refuse.Image("power of two", ImageBuilder.Device(512).With(i => i.UnitSize = 1536));
        Refuse.Image("power of two", ImageBuilder.Device(512).With(i => i.UnitSize = 2 << 20));
        Refuse.Image("power of two", ImageBuilder.Device(512).With(i => i.UnitSize = 0));
        Refuse.Image("without units", ImageBuilder.Registers().With(i => i.UnitSize = 4096));
        Refuse.Image("without units", ImageBuilder.Registers().With(i => i.UnitCount = 1));
        Refuse.Image("without units", ImageBuilder.Layers().With(i => i.UnitCount = 1));
        ImageFile.Read(ImageBuilder.Device(1 << 20, 1 << 20).Build());
    }
}
