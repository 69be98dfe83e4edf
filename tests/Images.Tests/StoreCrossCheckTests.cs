using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.SecondReader.Tests;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Stores that are written from the words of the document, also such as this software does not write.</summary>
public sealed class StoreCrossCheckTests : IDisposable
{
    private readonly StoreBuilder _built = new();

    public void Dispose()
    {
        try
        {
            Judge.Store(_built.Path);
        }
        finally
        {
            _built.Dispose();
        }
    }

    [Fact]
    public void A_device_that_was_shorter_meanwhile_has_lost_what_lay_behind_its_end()
    {
        byte[] two = [.. Filled(1), .. Filled(2)];
        _built.Add(1, 1, ImageBuilder.Device(1024).At(1, 1).Runs(two, (0, 2, 0)));
        _built.Add(2, 2, ImageBuilder.Device(512 + 100).At(2, 2, 1));
        _built.Add(3, 3, ImageBuilder.Device(1024).At(3, 3, 2));
        _built.Add(4, 4, ImageBuilder.Device(2048).At(4, 4, 3).Runs((3, 1, 1)));
        byte[] cut = [.. Filled(1), .. Filled(2)[..100], .. new byte[412]];
        Assert.Equal(two, Blocks(1));
        Assert.Equal(cut, Blocks(2));
        Assert.Equal(cut, Blocks(3));
        using var store = DirectoryStore.Open(_built.Path);
        Assert.True(Folding.Fold(
            store, ImageBuilder.Id(3), ImageBuilder.SomeDomain, ImageContent.BlockDevice, "xvda"));
        Assert.Equal(cut, Blocks(3));
        Assert.Empty(Verifier.VerifyStore(store));
    }

    [Fact]
    public void A_layer_is_in_a_chain_once()
    {
        _built.Add(1, 1, ImageBuilder.Layers().At(1, 1).Blob($"{ImageBuilder.Id(1)}", [1]));
        _built.Add(2, 2, ImageBuilder.Layers().At(2, 2, 1).Blob($"{ImageBuilder.Id(1)}", [1]));
        using var store = DirectoryStore.OpenReadOnly(_built.Path);
        using Chain chain = Open(store, 2, ImageContent.Directory, "share");
        ImageCorruptException e = Assert.Throws<ImageCorruptException>(() => chain.Visit(new JudgedState()));
        Assert.Contains("already", e.Problem, StringComparison.Ordinal);
        Assert.Contains(Verifier.VerifyStore(store), f => f.Problem.Contains("already", StringComparison.Ordinal));
    }

    [Fact]
    public void Parents_are_older_and_parts_may_have_different_ones()
    {
        _built.Add(1, 2, ImageBuilder.Memory(1).At(1, 2, 2), ImageBuilder.Device(512).At(1, 2));
        _built.Add(2, 3, ImageBuilder.Memory(1).At(2, 3, 1), ImageBuilder.Device(512).At(2, 3));
        _built.Add(3, 4, ImageBuilder.Memory(1).At(3, 4), ImageBuilder.Device(512).At(3, 4, 1));
        _built.Add(4, 5, ImageBuilder.Memory(1).At(4, 5, 3), ImageBuilder.Device(512).At(4, 5, 2));
        _built.Add(5, 1, ImageBuilder.Memory(1).At(5, 1, 3));
        using var store = DirectoryStore.OpenReadOnly(_built.Path);
        foreach (byte id in (byte[])[1, 2, 5])
        {
            Assert.Contains("not older", Assert.Throws<ChainBrokenException>(
                () => Open(store, id, ImageContent.Memory)).Message, StringComparison.Ordinal);
        }

        Assert.Equal(2, Chain.Resolve(store, ImageBuilder.Id(4), ImageBuilder.SomeDomain, ImageContent.Memory).Count);
        Open(store, 4, ImageContent.BlockDevice, "xvda").Dispose();
    }

    [Fact]
    public void Checkpoints_with_one_identity_are_both_refused_and_others_are_not()
    {
        _built.Add(1, 4, ImageBuilder.Memory(1).At(1, 4));
        _built.Add(1, 5, ImageBuilder.Memory(1).At(1, 5));
        _built.Add(2, 6, ImageBuilder.Memory(1).At(2, 6));
        Directory.CreateDirectory(Path.Combine(_built.Path, "99999999999999999999"));
        using var store = DirectoryStore.OpenReadOnly(_built.Path);
        Assert.Equal(ImageBuilder.Id(2), Assert.Single(store.Checkpoints).Id);
        Assert.Equal(2, store.Problems.Count);
        Assert.Equal(7UL, store.NextEpoch);
    }

    [Theory]
    [InlineData("index")]
    [InlineData("captured")]
    [InlineData("label")]
    public void A_restore_finds_an_image_of_another_capture(string field)
    {
        _built.Add(1, 4, ImageBuilder.Memory(1).At(1, 4).With(i =>
        {
            i.Index = field == "index" ? 1u : 0;
            i.Captured = field == "captured" ? 1u : 0;
            i.Label = field == "label" ? "x" : "";
        }));
        using var store = DirectoryStore.OpenReadOnly(_built.Path);
        Assert.Throws<ImageCorruptException>(() => Open(store, 1, ImageContent.Memory));
    }

    [Fact]
    public void A_reader_beside_a_writer_looks_again_when_a_file_is_gone()
    {
        using var writer = DirectoryStore.Open(_built.Path);
        CheckpointManifest[] all = ChainTests.Three(writer);
        using var reader = DirectoryStore.OpenReadOnly(_built.Path);
        MemoryModel expected = StoreSample.State(writer, all[2].Id);
        Assert.True(Folding.Fold(writer, all[2].Id, Sample.Domain, ImageContent.Memory));
        Assert.True(Folding.Fold(writer, all[2].Id, StoreSample.Other, ImageContent.Memory));
        Assert.True(writer.Remove(2));
        expected.AssertSame(StoreSample.State(reader, all[2].Id));
        Assert.Equal(2, reader.Checkpoints.Count);
        Assert.Throws<ChainBrokenException>(() => StoreSample.State(reader, all[1].Id));
    }

    [Fact]
    public void A_domain_may_be_called_what_a_manifest_cannot_hold()
    {
        using var store = DirectoryStore.Open(_built.Path);
        Assert.Throws<ArgumentException>(() => new CheckpointDraft(store, "a\tb"));
        using var draft = new CheckpointDraft(store, "node1");
        _ = draft.AddPart(StoreSample.Memory(Guid.Empty) with { DomainName = "a\tb" });
        Assert.Equal("", draft.Commit(StoreSample.Closing(1)).Domains[0].Name);
    }

    private static byte[] Filled(byte value) => [.. Enumerable.Repeat(value, 512)];

    private static Chain Open(DirectoryStore store, byte id, ImageContent content, string disk = "") =>
        Chain.Open(store, ImageBuilder.Id(id), ImageBuilder.SomeDomain, content, disk);

    private byte[] Blocks(byte id)
    {
        var state = new MemoryModel(512);
        using var store = DirectoryStore.OpenReadOnly(_built.Path);
        using Chain chain = Open(store, id, ImageContent.BlockDevice, "xvda");
        chain.Visit(state);
        return [.. state.Units.Values.SelectMany(block => block)];
    }
}
