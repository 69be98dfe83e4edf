using System.Text;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.SecondReader.Tests;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>docs/checkpoint-format.md against the code.</summary>
public class DocumentTests
{
    [Fact]
    public void The_checksum_is_the_documents() => Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));

    [Fact]
    public void The_example_is_what_the_writer_writes()
    {
        string text = DocumentExamples.Text();
        string dump = Dump(Example());
        Assert.True(text.Contains(dump, StringComparison.Ordinal), $"the document should show:\n{dump}");
    }

    [Fact]
    public void The_examples_read_as_the_document_says()
    {
        IReadOnlyList<byte[]> images = DocumentExamples.Images();
        Assert.Equal([368, 416], images.Select(i => i.Length));
        var pages = new MemoryModel(4096);
        using var full = new ImageReader(new MemoryStream(images[0]), "example");
        ImageTrailer trailer = full.ReadToEnd(pages);
        Assert.Equal([0L, 1, 3], pages.Units.Keys);
        Assert.Equal((9UL, "demo"), (trailer.Closing.Index, trailer.Closing.Label));

        var blocks = new MemoryModel(512);
        using var increment = new ImageReader(new MemoryStream(images[1]), "example");
        Assert.Equal((10UL, ""), (increment.ReadToEnd(blocks).Closing.Index, increment.Trailer!.Closing.Label));
        Assert.Equal((full.Header.CheckpointId, ImageKind.Increment), (increment.Header.ParentId, increment.Header.Kind));
        Assert.All(blocks.Units[0], b => Assert.Equal(7, b));
        Assert.Equal(new byte[512], blocks.Units[1]);
        Assert.All(images, i => Assert.False(Judge.Rejects(i)));
    }

    [Fact]
    public void The_manifest_is_what_this_software_writes_and_names_the_first_image()
    {
        byte[] bytes = DocumentExamples.Manifest();
        CheckpointManifest manifest = ManifestFile.Decode(bytes, "example");
        Assert.Equal(bytes, ManifestFile.Encode(manifest));
        using var folder = new TemporaryFolder();
        string checkpoint = Path.Combine(folder.Path, "00000000000000000005");
        _ = Directory.CreateDirectory(checkpoint);
        File.WriteAllBytes(Path.Combine(checkpoint, ManifestFile.Name), bytes);
        File.WriteAllBytes(Path.Combine(checkpoint, manifest.Domains[0].Parts[0].File), DocumentExamples.Images()[0]);
        using var store = DirectoryStore.OpenReadOnly(folder.Path);
        Assert.Single(store.Checkpoints);
        Assert.Empty(Verifier.VerifyStore(store));
    }

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
}
