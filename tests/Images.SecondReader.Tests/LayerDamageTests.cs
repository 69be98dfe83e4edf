using System.Text;
using XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// Octets that are changed or missing.
public sealed class LayerDamageTests
{
    private static LayerBuilder Small() => LayerBuilder.Rooted()
        .Directory("d", "SCHILY.xattr.trusted.overlay.overlay.x=y")
        .File("d/file", "contents", "SCHILY.xattr.user.a%3Db=1")
        .Link("d/link", "d/file")
        .Entry('6', "s", more: "XTL.type=socket")
        .Entry('2', "t", target: "d/file", mtime: "-1.500000000");

    // All that a stream says.
    private static string Told(byte[] stream)
    {
        StringBuilder told = new();
        foreach (LayerEntry e in Layer.Read(stream).Entries)
        {
            told.Append($"{e.Path}\0{e.Type} {e.Mode} {e.Owner} {e.Group} {e.Modified} {e.Target}\0{e.Major} {e.Minor} ")
                .Append(Convert.ToHexString(e.Contents.Span))
                .AppendJoin(' ', e.Attributes.Select(a => $"{a.Key}\0{Convert.ToHexString(a.Value.Span)}"))
                .Append('\n');
        }

        return told.ToString();
    }

    // Null where the reader refuses the stream.
    private static string? ToldOrNull(byte[] stream)
    {
        try
        {
            return Told(stream);
        }
        catch (FormatViolationException)
        {
            return null;
        }
    }

    // One layer has one stream: another one is refused, or says something else. Checksums of archives do not cover contents.
    private static void EachOctetCounts(byte[] stream, int step)
    {
        string told = Told(stream);
        for (int at = 0; at < stream.Length; at += step)
        {
            byte whole = stream[at];
            stream[at] = (byte)(whole ^ (1 << (at % 8)));
            Assert.True(ToldOrNull(stream) != told, $"octet {at} is of no meaning");
            stream[at] = whole;
        }
    }

    private static void RefusesEachFlipAndCut(byte[] image)
    {
        PartState state = new();
        state.Apply(ImageFile.Read(image));
        Assert.NotNull(state.Tree().Root);
        for (int at = 0; at < image.Length; at++)
        {
            byte whole = image[at];
            image[at] = (byte)(whole ^ (1 << (at % 8)));
            Assert.Throws<FormatViolationException>(() => ImageFile.Read(image));
            image[at] = whole;
            Assert.Throws<FormatViolationException>(() => ImageFile.Read(image.AsMemory(0, at)));
        }
    }

    [Fact]
    public void No_octet_of_a_stream_is_without_meaning() => EachOctetCounts(Small().Build(), 1);

    [Fact]
    public void A_stream_that_is_cut_is_no_layer()
    {
        byte[] stream = Small().Build();
        for (int length = 0; length < stream.Length; length++)
        {
            Assert.Throws<FormatViolationException>(() => Layer.Read(stream.AsMemory(0, length)));
        }
    }

    [Fact]
    public void No_octet_of_the_writers_streams_is_without_meaning()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Owners and device nodes are root's.");
        string folder = Directory.CreateTempSubdirectory("second-reader-").FullName;
        try
        {
            string source = $"{folder}/source";
            Samples.Fill(source);
            RawFiles.RemoveTree($"{source}/{new string('l', 120)}");
            EachOctetCounts(Archive.Of(source), 7);
        }
        finally
        {
            RawFiles.RemoveTree(folder);
        }
    }

    [Fact]
    public void Each_flip_and_cut_of_an_image_is_found() =>
        RefusesEachFlipAndCut(ImageBuilder.Layers().Blob(ImageBuilder.Id(1).ToString("D"), Small().Build()).Build());

    [Fact]
    public void Each_flip_and_cut_of_the_writers_image_is_found()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        File.WriteAllText($"{node.Data}/file", "contents");
        RawFiles.Link($"{node.Data}/file", $"{node.Data}/link");
        node.Checkpoint(Guid.Empty);
        RefusesEachFlipAndCut(File.ReadAllBytes(Store.Read(node.Store.Root).Checkpoints[0].Parts[0].Path));
    }
}
