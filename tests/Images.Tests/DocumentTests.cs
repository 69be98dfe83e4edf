using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>docs/checkpoint-format.md against the code.</summary>
public partial class DocumentTests
{
    [Fact]
    public void The_checksum_is_the_documents() => Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));

    [Fact]
    public void The_example_is_what_the_writer_writes()
    {
        string text = File.ReadAllText(Document());
        string dump = Dump(Example());
        Assert.True(text.Contains(dump, StringComparison.Ordinal), $"the document should show:\n{dump}");
    }

    [Fact]
    public void The_example_reads_as_the_document_says()
    {
        byte[] bytes =
        [
            .. ExampleLine().Matches(File.ReadAllText(Document()))
                .SelectMany(m => m.Groups[1].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Select(b => byte.Parse(b, NumberStyles.HexNumber)),
        ];
        var model = new MemoryModel(4096);
        using var reader = new ImageReader(new MemoryStream(bytes), "example");
        ImageTrailer trailer = reader.ReadToEnd(model);
        Assert.Equal([0L, 1, 3], model.Units.Keys);
        Assert.Equal((9UL, "demo", 368), (trailer.Closing.Index, trailer.Closing.Label, bytes.Length));
    }

    [GeneratedRegex(@"^    [0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)", RegexOptions.Multiline)]
    private static partial Regex ExampleLine();

    private static byte[] Example() => Sample.Write(
        new ImageHeader
        {
            DomainUuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
            CheckpointId = Guid.Parse("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"),
            Epoch = 5,
            Created = Sample.Time,
            Content = ImageContent.Memory,
            Kind = ImageKind.Full,
            UnitSize = 4096,
            UnitCount = 8,
        },
        w =>
        {
            w.AddZero(new PfnRun(0, 4));
            w.AddUnpopulated(new PfnRun(2, 1));
        },
        closing: new CheckpointClosing(9, Sample.Time.AddSeconds(1), "demo"));

    private static string Dump(byte[] bytes)
    {
        var text = new StringBuilder();
        for (int at = 0; at < bytes.Length; at += 16)
        {
            string line = Convert.ToHexStringLower(bytes.AsSpan(at, Math.Min(16, bytes.Length - at)));
            _ = text.Append($"    {at:x4} ");
            for (int i = 0; i < line.Length; i += 2)
            {
                _ = text.Append(' ').Append(line, i, 2);
            }

            _ = text.Append('\n');
        }

        return text.ToString();
    }

    private static string Document()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "XenTwoLevelCkpt.sln")))
        {
            folder = folder.Parent;
        }

        return Path.Combine(folder!.FullName, "docs", "checkpoint-format.md");
    }
}
