using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// RUNS, BLOB and their data areas.
public sealed class DataTests
{
    private const string LayerA = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";

    // 512 octets of 7, as a literal, a match of 506 octets and five literals.
    private static readonly byte[] Sevens = [0x1F, 7, 1, 0, 255, 232, 0x50, 7, 7, 7, 7, 7];

    private static byte[] Filled(int length, byte value) => [.. Enumerable.Repeat(value, length)];

    private static ImageBuilder Compressed(ImageBuilder image) => image.With(i => i.Compression = 1);

    [Fact]
    public void Data_is_taken_in_the_order_of_the_table()
    {
        byte[] area = [.. Filled(512, 1), .. Filled(512, 2), .. Filled(512, 3)];
        ImageFile image = ImageFile.Read(ImageBuilder.Device(8 * 512).Runs(area, (6, 1, 0), (0, 2, 1), (1, 2, 0)).Build());
        Assert.Equal([512, 0, 1024], image.Runs.Select(run => run.Data.Length));
        Assert.Equal(area[..512], image.Runs[0].Data.ToArray());
        Assert.Equal(area[512..], image.Runs[2].Data.ToArray());
    }

    [Fact]
    public void Compressed_data()
    {
        ImageFile image = ImageFile.Read(Compressed(ImageBuilder.Device(512)).Runs(1, Sevens, (0, 1, 0)).Build());
        Assert.Equal(Filled(512, 7), image.Runs[0].Data.ToArray());
        Refuse.Image("only in images with compression", ImageBuilder.Device(512).Runs(1, Sevens, (0, 1, 0)));
        Refuse.Image("the length that other fields say", Compressed(ImageBuilder.Device(1024)).Runs(1, Sevens, (0, 2, 0)));
        Refuse.Image("of no octets is raw", Compressed(ImageBuilder.Device(512)).Runs(1, [0], (0, 1, 1)));
        Refuse.Image("of no octets is raw", Compressed(ImageBuilder.Registers()).Blob("a", [], encoding: 1));
        Refuse.Image("encoding 2 is not defined", Compressed(ImageBuilder.Device(512)).Runs(2, Sevens, (0, 1, 0)));
        byte[] longer = [0xF0, 255, 242, .. new byte[512]];
        Refuse.Image("shorter than its data", Compressed(ImageBuilder.Device(512)).Runs(1, longer, (0, 1, 0)));
        Refuse.Image("shorter than its data", Compressed(ImageBuilder.Registers()).Blob("a", [0x10, 1], encoding: 1, length: 2));
        byte[] blob = ImageFile.Read(Compressed(ImageBuilder.Registers()).Blob("a", Sevens, encoding: 1, length: 512).Build())
            .Blobs[0].ToArray();
        Assert.Equal(Filled(512, 7), blob);
    }

    [Fact]
    public void Raw_data_has_its_length()
    {
        Refuse.Image("raw data has the length", ImageBuilder.Device(512).Runs(new byte[511], (0, 1, 0)));
        Refuse.Image("raw data has the length", ImageBuilder.Device(512).Runs(new byte[513], (0, 1, 0)));
        Refuse.Image("raw data has the length", ImageBuilder.Device(512).Runs(new byte[1], (0, 1, 1)));
        Refuse.Image("raw data has the length", ImageBuilder.Registers().Blob("a", [1, 2], length: 1));
    }

    [Fact]
    public void Data_has_at_most_4_MiB()
    {
        ImageFile.Read(ImageBuilder.Device(8 << 20).Runs(new byte[4 << 20], (0, 8192, 0)).Build());
        Refuse.Image("at most 4 MiB", ImageBuilder.Device(8 << 20).Runs(new byte[(4 << 20) + 512], (0, 8193, 0)));
        Refuse.Image("at most 4 MiB", ImageBuilder.Registers().Blob("a", new byte[(4 << 20) + 1]));
        // The product of the counts and the unit size is 2^64.
        (ulong, uint, uint)[] huge = [.. Enumerable.Repeat((0ul, 1u << 30, 0u), 1 << 14)];
        Refuse.Image("at most 4 MiB", ImageBuilder.Device(1ul << 52, 1 << 20).Runs([], huge));
    }

    [Fact]
    public void Run_tables()
    {
        Refuse.Image("run count", ImageBuilder.Memory(1).Runs());
        Refuse.Image("run count", ImageBuilder.Memory(1).Runs([.. Enumerable.Repeat((0ul, 1u, 1u), 65537)]));
        ImageFile.Read(ImageBuilder.Memory(1).Runs([.. Enumerable.Repeat((0ul, 1u, 1u), 65536)]).Build());
        Refuse.Image("1 to 2147483647 units", ImageBuilder.Memory(1).Runs((0, 0, 1)));
        Refuse.Image("1 to 2147483647 units", ImageBuilder.Memory(1ul << 32).Runs((0, 1u << 31, 1)));
        ImageFile.Read(ImageBuilder.Memory(1ul << 32).Runs((1, int.MaxValue, 1)).Build());
        Refuse.Image("only pages of memory", ImageBuilder.Device(512).Runs((0, 1, 2)));
        Refuse.Image("class of a run", ImageBuilder.Memory(1).Runs((0, 1, 3)));
        Refuse.Image("unit count at the latest", ImageBuilder.Memory(1).Runs((0, 2, 1)));
        Refuse.Image("unit count at the latest", ImageBuilder.Memory(1).Runs((1, 1, 2)));
        Refuse.Image("unit count at the latest", ImageBuilder.Memory(1).Runs((ulong.MaxValue, 1, 1)));
        Refuse.Image("a run count and an encoding", ImageBuilder.Memory(1).Record(1, new byte[7]));
        Refuse.Image("all of its runs", ImageBuilder.Memory(1).Record(1, [2, 0, 0, 0, 0, 0, 0, 0, .. new byte[31]]));
        Refuse.Image("all of its runs", ImageBuilder.Memory(1).Record(1, [0, 0, 1, 0, 0, 0, 0, 0, .. new byte[32]]));
    }

    [Fact]
    public void Blobs_of_several_parts()
    {
        ImageFile image = ImageFile.Read(ImageBuilder.Registers()
            .Blob("hvm", [1, 2], part: 0, last: false).Blob("hvm", [], part: 1, last: false).Blob("hvm", [3], part: 2)
            .Blob("tsc", [])
            .Build());
        Assert.Equal(["hvm", "tsc"], image.Blobs.Select(blob => blob.Name));
        Assert.Equal([1, 2, 3], image.Blobs[0].ToArray());
        Assert.Empty(image.Blobs[1].ToArray());
        Assert.Equal(3u, image.End.BlobOctets);
    }

    [Fact]
    public void Parts_out_of_order()
    {
        Refuse.Image("begins with part 0", ImageBuilder.Registers().Blob("a", [], part: 1));
        Refuse.Image("without gaps", ImageBuilder.Registers().Blob("a", [], last: false).Blob("a", [], part: 2));
        Refuse.Image("without gaps", ImageBuilder.Registers().Blob("a", [], last: false).Blob("a", [], part: 0));
        Refuse.Image("follow one another", ImageBuilder.Registers().Blob("a", [], last: false).Blob("b", [], part: 1));
        Refuse.Image("the last record of a blob", ImageBuilder.Registers().Blob("a", [], last: false));
        Refuse.Image("comes once", ImageBuilder.Registers().Blob("a", []).Blob("b", []).Blob("a", []));
    }

    [Fact]
    public void A_skipped_record_inside_a_blob_is_as_if_it_were_not_there() =>
        ImageFile.Read(ImageBuilder.Registers().Blob("a", [], last: false).Record(9, [], 1).Blob("a", [], part: 1).Build());

    [Fact]
    public void Blob_fields()
    {
        Refuse.Image("reserved BLOB flags", ImageBuilder.Registers().Blob("a", [], flags: 2));
        Refuse.Image("1 to 255", ImageBuilder.Registers().Blob("", []));
        Refuse.Image("1 to 255", ImageBuilder.Registers().Blob(new string('a', 256), []));
        ImageFile.Read(ImageBuilder.Registers().Blob(new string('a', 255), []).Build());
        Refuse.Image("control", ImageBuilder.Registers().Blob("a\u007F", []));
        Refuse.Image("fixed fields", ImageBuilder.Registers().Record(2, new byte[15]));
        Refuse.Image("all of its name", ImageBuilder.Registers().Record(2, [3, 0, 1, 0, .. new byte[12], 65, 65]));
    }

    [Theory]
    [InlineData(new byte[] { 0xC0, 0x80 })]
    [InlineData(new byte[] { 0xE0, 0x81, 0x81 })]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 })]
    [InlineData(new byte[] { 0xF4, 0x90, 0x80, 0x80 })]
    [InlineData(new byte[] { 0x80 })]
    [InlineData(new byte[] { 0xE2, 0x82 })]
    public void Names_are_valid_utf8(byte[] name) =>
        Refuse.Image("UTF-8", ImageBuilder.Registers().Record(2, [(byte)name.Length, 0, 1, 0, .. new byte[12], .. name]));

    [Fact]
    public void Layer_names()
    {
        Assert.Equal(LayerA, ImageFile.Read(ImageBuilder.Layers().Blob(LayerA, [1]).Build()).Blobs[0].Name);
        string[] wrong = [LayerA.ToUpperInvariant(), LayerA.Replace("-", "", StringComparison.Ordinal), $"{{{LayerA}}}", "lowest", Guid.Empty.ToString("D")];
        foreach (string name in wrong)
        {
            Refuse.Image("the name of a layer", ImageBuilder.Layers().Blob(name, [1]));
        }
    }

    [Fact]
    public void An_image_has_at_most_65536_blobs()
    {
        ImageBuilder image = ImageBuilder.Registers();
        for (int i = 0; i < 65536; i++)
        {
            image.Blob($"{i}", []);
        }

        Assert.Equal(65536, ImageFile.Read(image.Build()).Blobs.Count);
        Refuse.Image("at most 65536 blobs", image.Blob("one more", []));
    }
}
