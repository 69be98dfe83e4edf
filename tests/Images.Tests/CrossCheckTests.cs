using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.SecondReader.Tests;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Images at the edges of the format, with right checksums and totals, for both readers.</summary>
public class CrossCheckTests
{
    private const string Layer = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";

    // 512 octets of 7, as a literal, a match of 506 octets and five literals.
    private static readonly byte[] Sevens = [0x1F, 7, 1, 0, 255, 232, 0x50, 7, 7, 7, 7, 7];

    [Fact]
    public void Data_of_2_to_the_64_octets_is_not_data_of_none()
    {
        (ulong, uint, uint)[] huge = [.. Enumerable.Repeat((0ul, 1u << 30, 0u), 1 << 14)];
        Rejected(ImageBuilder.Device(1ul << 52, 1 << 20).Runs([], huge));
        Rejected(ImageBuilder.Memory(1ul << 32).Runs([], [.. Enumerable.Repeat((0ul, 1u << 30, 0u), 1 << 10)]));
    }

    [Fact]
    public void Run_tables()
    {
        Rejected(ImageBuilder.Memory(1).Runs((ulong.MaxValue, 1, 1)));
        Rejected(ImageBuilder.Memory(1).Runs((ulong.MaxValue, int.MaxValue, 2)));
        Rejected(ImageBuilder.Memory(1ul << 32).Runs((0, 1u << 31, 2)));
        Rejected(ImageBuilder.Memory(1).Record(1, [0, 0, 1, 0, 0, 0, 0, 0, .. new byte[32]]));
        Rejected(ImageBuilder.Memory(1).Record(1, [255, 255, 255, 255, 0, 0, 0, 0, .. new byte[32]]));
        Taken(ImageBuilder.Memory(1).Runs([.. Enumerable.Repeat((0ul, 1u, 1u), 65536)]));
        Rejected(ImageBuilder.Memory(1).Runs([.. Enumerable.Repeat((0ul, 1u, 1u), 65537)]));
        Rejected(ImageBuilder.Memory(1).Runs());
        Taken(ImageBuilder.Memory(4).Runs((3, 1, 1), (3, 1, 2)));
    }

    [Fact]
    public void Compressed_data_is_shorter_than_data_and_not_of_none()
    {
        Taken(Compressed(ImageBuilder.Device(512)).Runs(1, Sevens, (0, 1, 0)));
        Rejected(ImageBuilder.Device(512).Runs(1, Sevens, (0, 1, 0)));
        Rejected(Compressed(ImageBuilder.Device(512)).Runs(1, [], (0, 1, 0)));
        Rejected(Compressed(ImageBuilder.Device(512)).Runs(1, [0xF0, 255, 242, .. new byte[512]], (0, 1, 0)));
        Rejected(Compressed(ImageBuilder.Device(512)).Runs(1, [0], (0, 1, 1)));
        Rejected(Compressed(ImageBuilder.Registers()).Blob("a", [], encoding: 1));
        Rejected(Compressed(ImageBuilder.Registers()).Blob("a", [0x20, 1], encoding: 1, length: 2));
    }

    // The buffer that liblz4 fills has data of the record before, which an offset of 0 would leave there.
    [Theory]
    [InlineData(new byte[] { 0x1F, 7, 0, 0, 255, 232, 0x50, 7, 7, 7, 7, 7 })]
    [InlineData(new byte[] { 0x1F, 7, 2, 0, 255, 232, 0x50, 7, 7, 7, 7, 7 })]
    [InlineData(new byte[] { 0x1F, 7, 1, 0, 255, 233, 0x40, 7, 7, 7, 7 })]
    [InlineData(new byte[] { 0x1F, 7, 1, 0, 255, 231, 0x50, 7, 7, 7, 7, 7 })]
    [InlineData(new byte[] { 0x1F, 7, 1, 0, 255, 237 })]
    public void Blocks_of_LZ4_keep_its_rules(byte[] block) => Rejected(
        Compressed(ImageBuilder.Device(1024)).Runs(1, Sevens, (0, 1, 0)).Runs(1, block, (1, 1, 0)));

    [Fact]
    public void Blobs_and_layers()
    {
        Taken(ImageBuilder.Registers().Blob("a", [1], last: false).Record(9, [], 1).Blob("a", [], part: 1));
        Rejected(ImageBuilder.Registers().Blob("a", [1], last: false).Blob("b", [], part: 1));
        Rejected(ImageBuilder.Registers().Blob("a", []).Blob("a", []));
        Rejected(ImageBuilder.Registers().Blob("a\u009F", []));
        Rejected(ImageBuilder.Registers().Record(2, [2, 0, 1, 0, .. new byte[12], 0xE2, 0x82]));
        Taken(ImageBuilder.Layers().Blob(Layer, [1]));
        Rejected(ImageBuilder.Layers().Blob(Layer.ToUpperInvariant(), [1]));
        Rejected(ImageBuilder.Layers().Blob($"+{Layer[1..]}", [1]));
        Rejected(ImageBuilder.Layers().Blob($"{Guid.Empty}", [1]));
    }

    [Fact]
    public void Devices()
    {
        byte[] tail = new byte[512];
        tail[100] = 1;
        Taken(ImageBuilder.Device(101).Runs(tail, (0, 1, 0)));
        Rejected(ImageBuilder.Device(100).Runs(tail, (0, 1, 0)));
        Rejected(ImageBuilder.Device(512).Runs((0, 1, 2)));
        Taken(ImageBuilder.Device(0));
        Taken(ImageBuilder.Device(512, 512, new string('x', 64)));
        Rejected(ImageBuilder.Device(512, 512, new string('x', 65)));
        Rejected(ImageBuilder.Device(512, 512, "a.b"));
        Rejected(ImageBuilder.Layers().WithoutRecords().Record(3, [.. new byte[8], 1, .. new byte[7], 65, 66]));
        Rejected(ImageBuilder.Layers().WithoutRecords().Record(3, [.. new byte[8], 1, .. new byte[7]]));
        Rejected(ImageBuilder.Device(0).WithoutRecords().Disk((1ul << 52) + 1, "xvda"));
    }

    [Fact]
    public void Labels_and_END()
    {
        Taken(ImageBuilder.Memory(3).With(i => i.Label = new string('x', 64)));
        Rejected(ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => end[65] = (byte)'x'));
        Rejected(ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => new byte[] { 0x78, 0xC3, 0xA4, 0xC3 }.CopyTo(end, 64)));
        Rejected(ImageBuilder.Memory(3).With(i => i.ChangeEnd = end =>
        {
            end.AsSpan(64, 64).Fill((byte)'x');
            end[127] = 0xC3;
        }));
        Rejected(ImageBuilder.Memory(3).Record(65535, new byte[135]).With(i => i.WithoutEnd = true));
        Rejected(ImageBuilder.Memory(3).Record(65535, new byte[137]).With(i => i.WithoutEnd = true));
    }

    [Fact]
    public void END_is_never_optional_also_where_it_is_read_alone()
    {
        byte[] image = ImageBuilder.Memory(3).Record(65535, new byte[136], flags: 1).With(i => i.WithoutEnd = true).Build();
        Assert.True(Judge.Rejects(image));
        Assert.Throws<ImageCorruptException>(() => ImageReader.ReadTrailer(new MemoryStream(image), "image"));
    }

    [Fact]
    public void Records_that_are_not_known()
    {
        Taken(ImageBuilder.Memory(3).Record(77, new byte[8 << 20], flags: 1));
        Taken(ImageBuilder.Memory(3).Record(0, [1], flags: 1));
        Rejected(ImageBuilder.Memory(3).Record(77, new byte[(8 << 20) + 1], flags: 1));
        Rejected(ImageBuilder.Memory(3).Record(77, [], flags: 3));
        Rejected(ImageBuilder.Layers().WithoutRecords().Record(77, [], flags: 1).Disk(0, "shared"));
        Judge.IsOfLaterFormat(ImageBuilder.Memory(3).Record(77, []).Build());
        Judge.IsOfLaterFormat(ImageBuilder.Memory(3).Record(0, []).Build());
        Judge.IsOfLaterFormat(Compressed(ImageBuilder.Memory(3), 2).Build());
        Judge.IsOfLaterFormat(ImageBuilder.Memory(3).With(i => i.ChangeHeader = h => h[98] = 1).Build());
        Judge.IsOfLaterFormat(ImageBuilder.Memory(3).With(i => i.ChangeHeader = h => h[8] = 2).Build());
    }

    [Fact]
    public void Headers()
    {
        Taken(ImageBuilder.Memory(0));
        Rejected(ImageBuilder.Memory(1).With(i => i.UnitSize = 8192));
        Rejected(ImageBuilder.Memory(1).With(i => i.Domain = Guid.Empty));
        Taken(ImageBuilder.Layers().With(i => i.ChangeHeader = h => h[95] = 1));
        Rejected(ImageBuilder.Registers().With(i => i.ChangeHeader = h => h[95] = 1));
        Rejected(ImageBuilder.Memory(1).At(2, 2, 1).With(i => i.ChangeHeader = h => h[95] = 1));
    }

    private static ImageBuilder Compressed(ImageBuilder image, ushort compression = 1) =>
        image.With(i => i.Compression = compression);

    private static void Taken(ImageBuilder image) => Assert.False(Judge.Rejects(image.Build()));

    private static void Rejected(ImageBuilder image) => Assert.True(Judge.Rejects(image.Build()));
}
