using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// The examples of section 10, octet for octet.
public sealed class ExampleTests
{
    private static byte[] Example() => DocumentExamples.Images()[0];

    private static byte[] Increment() => DocumentExamples.Images()[1];

    private static ulong Microseconds(int second) =>
        (ulong)(new DateTime(2026, 3, 4, 5, 6, 0, DateTimeKind.Utc).AddSeconds(second) - DateTime.UnixEpoch).Ticks / 10;

    [Fact]
    public void It_says_what_the_text_says()
    {
        ImageFile image = ImageFile.Read(Example());

        Assert.Equal(new Guid("00112233-4455-6677-8899-aabbccddeeff"), image.Header.Domain);
        Assert.Equal(new Guid("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"), image.Header.Checkpoint);
        Assert.Equal(Guid.Empty, image.Header.Parent);
        Assert.Equal(5u, image.Header.Epoch);
        Assert.Equal(Microseconds(7), image.Header.Created);
        Assert.Equal(8u, image.Header.UnitCount);
        Assert.Equal(4096u, image.Header.UnitSize);
        Assert.Equal(ImageContent.Memory, image.Header.Content);
        Assert.Equal(ImageKind.Full, image.Header.Kind);
        Assert.False(image.Header.IsFolded);
        Assert.True(image.Header.IsCompressed);
        Assert.Equal([(0ul, 4u, RunClass.Zero), (2ul, 1u, RunClass.Unpopulated)], image.Runs.Select(r => (r.First, r.Count, r.Class)));
        Assert.Empty(image.Blobs);
        Assert.Null(image.Disk);
        Assert.Equal(368u, image.End.FileLength);
        Assert.Equal(9u, image.End.Index);
        Assert.Equal(Microseconds(8), image.End.Captured);
        Assert.Equal("demo", image.End.Label);
    }

    [Fact]
    public void Its_state_is_three_zero_pages()
    {
        PartState state = new();
        state.Apply(ImageFile.Read(Example()));

        Assert.Equal([0ul, 1, 3], state.Units.Keys);
        Assert.All(state.Units.Values, page => Assert.Equal(new byte[4096], page.ToArray()));
    }

    [Fact]
    public void The_builder_of_these_tests_makes_the_same_octets()
    {
        ImageBuilder builder = ImageBuilder.Memory(8).Runs((0, 4, 1), (2, 1, 2));
        builder.Checkpoint = new Guid("f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
        builder.Epoch = 5;
        builder.Compression = 1;
        builder.Index = 9;
        builder.Captured = Microseconds(8);
        builder.Label = "demo";
        builder.ChangeHeader = header => BitConverter.TryWriteBytes(header.AsSpan(72), Microseconds(7));

        Assert.Equal(Example(), builder.Build());
    }

    [Fact]
    public void The_increment_says_what_the_text_says()
    {
        ImageFile image = ImageFile.Read(Increment());
        Assert.Equal(new Guid("9b2f6f4e-3c1d-4b8a-8e57-6a0d5c4b3a21"), image.Header.Checkpoint);
        Assert.Equal(ImageFile.Read(Example()).Header.Checkpoint, image.Header.Parent);
        Assert.Equal((6ul, 2ul, 512u), (image.Header.Epoch, image.Header.UnitCount, image.Header.UnitSize));
        Assert.Equal(new Disk("xvda", 1000), image.Disk);
        Assert.Equal((416ul, 10ul, ""), (image.End.FileLength, image.End.Index, image.End.Label));
        PartState state = new();
        state.Apply(image);
        Assert.Equal([.. Enumerable.Repeat((byte)7, 512)], state.Units[0].ToArray());
        Assert.Equal(new byte[512], state.Units[1].ToArray());
    }

    [Fact]
    public void The_builder_of_these_tests_makes_the_same_increment()
    {
        ImageBuilder builder = ImageBuilder.Device(1000)
            .Runs(1, [0x1F, 7, 1, 0, 255, 232, 0x50, 7, 7, 7, 7, 7], (0, 1, 0), (1, 1, 1));
        builder.Checkpoint = new Guid("9b2f6f4e-3c1d-4b8a-8e57-6a0d5c4b3a21");
        builder.Parent = new Guid("f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
        builder.Kind = ImageKind.Increment;
        builder.Epoch = 6;
        builder.Compression = 1;
        builder.Index = 10;
        builder.Captured = Microseconds(68);
        builder.ChangeHeader = header => BitConverter.TryWriteBytes(header.AsSpan(72), Microseconds(67));
        Assert.Equal(Increment(), builder.Build());
    }

    [Fact]
    public void The_manifest_names_the_first_image()
    {
        Manifest manifest = Manifest.Parse(DocumentExamples.Manifest());
        Assert.Equal((5ul, 9ul, "demo", "node1"), (manifest.Epoch, manifest.Index, manifest.Label, manifest.Node));
        using StoreBuilder store = new();
        string directory = Directory.CreateDirectory(store.DirectoryOf(5)).FullName;
        File.WriteAllBytes(Path.Combine(directory, "manifest.json"), DocumentExamples.Manifest());
        File.WriteAllBytes(Path.Combine(directory, manifest.Domains[0].Parts[0].File), Example());
        Store read = Store.Read(store.Path);
        Assert.Empty(read.Damage);
        PartState state = read.State(read.Checkpoints[0], ImageBuilder.SomeDomain, ImageContent.Memory, "");
        Assert.Equal([0ul, 1, 3], state.Units.Keys);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Every_changed_octet_is_rejected(int example)
    {
        byte[] image = DocumentExamples.Images()[example];
        for (int at = 0; at < image.Length; at++)
        {
            foreach (byte change in (byte[])[1, 2, 4, 8, 16, 32, 64, 128, 255])
            {
                image[at] ^= change;
                Assert.Throws<FormatViolationException>(() => ImageFile.Read(image));
                image[at] ^= change;
            }
        }

        ImageFile.Read(image);
    }

    [Fact]
    public void Every_shorter_file_is_rejected()
    {
        byte[] image = Example();
        for (int length = 0; length < image.Length; length++)
        {
            Refuse.Image("the file does not end inside", image[..length]);
        }
    }

    [Fact]
    public void A_file_that_goes_on_is_rejected()
    {
        byte[] image = Example();
        Refuse.Image("the file ends with END", [.. image, 0]);
        Refuse.Image("the file ends with END", [.. image, .. image]);
        Refuse.Image("the file ends with END", [.. image, .. image[^152..]]);
    }
}
