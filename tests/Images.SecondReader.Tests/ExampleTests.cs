using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// The example of section 10, octet for octet.
public sealed class ExampleTests
{
    private const string Hexadecimal = """
        58 54 4c 49 4d 47 0d 0a 01 00 00 00 a0 00 00 00
        00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff
        f8 1d 4f ae 7d ec 41 d0 a7 65 00 a0 c9 1e 6b f6
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        05 00 00 00 00 00 00 00 c0 ad 0b c7 2b 4c 06 00
        08 00 00 00 00 00 00 00 00 10 00 00 02 00 01 00
        01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 7e 92 f2 8d
        01 00 00 00 28 00 00 00 91 09 89 76 fc 6c f7 8c
        02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        04 00 00 00 01 00 00 00 02 00 00 00 00 00 00 00
        01 00 00 00 02 00 00 00 ff ff 00 00 88 00 00 00
        94 68 35 62 7b 6b ee b4 01 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
        01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        70 01 00 00 00 00 00 00 09 00 00 00 00 00 00 00
        00 f0 1a c7 2b 4c 06 00 64 65 6d 6f 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 e0 cd 07 71 00 00 00 00
        """;

    private static byte[] Example() => Convert.FromHexString(string.Concat(Hexadecimal.Where(char.IsAsciiHexDigit)));

    private static ulong Microseconds(int second) =>
        (ulong)(new DateTime(2026, 3, 4, 5, 6, second, DateTimeKind.Utc) - DateTime.UnixEpoch).Ticks / 10;

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
    public void Every_changed_octet_is_rejected()
    {
        byte[] image = Example();
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
