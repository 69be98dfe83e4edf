using System.Text;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>What a restore would stumble over is found before it does anything, and by verify.</summary>
public class RestoreVerificationTests
{
    private static readonly NodeOptions Small = new() { StateDirectory = "", CacheEntries = 16, StagingPages = 4096 };

    [Theory]
    [InlineData("machine", "{}")]
    [InlineData("machine", "no JSON")]
    [InlineData("machine", """{"Name":"a","Kind":7,"Hypervisor":"1.0"}""")]
    [InlineData("machine", """{"Name":"","Kind":1,"Hypervisor":"1.0"}""")]
    [InlineData("machine", """{"Name":"a","Kind":1,"Hypervisor":"xyz"}""")]
    [InlineData("toolstack-config", "no JSON")]
    [InlineData("toolstack-config", "[]")]
    [InlineData("hvm-context", "nonsense")]
    [InlineData("hvm-context", "")]
    [InlineData("hvm-params", "seventeen octets!")]
    [InlineData("hvm-params", "a parameter above 32 bits, octets")]
    [InlineData("tsc-info", "short")]
    [InlineData("tsc-info", null)]
    [InlineData("hvm-context", null)]
    public async Task Registers_that_make_no_sense_are_found_by_verify_and_before_a_restore(string blob, string? content)
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        CheckpointReport report = await node.CheckpointAsync(1);
        var restorer = new Restorer(node.Store);
        Assert.Empty(Verifier.VerifyStore(
            node.Store, meaning: restorer.Problem, cancellationToken: TestContext.Current.CancellationToken));
        guest.Destroy();

        // It has the next epoch open.
        await node.Node.DisposeAsync();
        CheckpointManifest wrong = CopyWith(node.Store, report.Id, guest.Uuid, blob, content);
        Assert.Empty(Verifier.VerifyStore(node.Store, cancellationToken: TestContext.Current.CancellationToken));
        Finding found = Assert.Single(Verifier.VerifyStore(
            node.Store, meaning: restorer.Problem, cancellationToken: TestContext.Current.CancellationToken));
        Assert.EndsWith(".reg", found.File, StringComparison.Ordinal);
        Assert.Contains($"{wrong.Epoch:D20}", found.File, StringComparison.Ordinal);

        var puts = new CountedDisks();
        Assert.Throws<InvalidDataException>(() => restorer.Restore(
            node.Hypervisor, wrong, disks: puts, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(0, puts.Puts);
        Assert.Empty(node.Hypervisor.Guests);
        node.RestoreAndCompare(report.Id);
    }

    // The last image of the last domain is damaged: nothing of the first one was made before it was read.
    [Fact]
    public async Task A_damaged_image_is_found_before_anything_is_made()
    {
        await using var node = new ModelNode(Small);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        CheckpointReport report = await node.CheckpointAsync(1);
        foreach (ModelGuest guest in node.Hypervisor.Guests)
        {
            guest.Destroy();
        }

        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        ManifestDomain last = manifest.Domains[^1];
        string file = node.Store.PathOf(
            manifest.Epoch, last.Parts.Single(p => p.Content == ImageContent.Memory).File);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(file, bytes);
        var puts = new CountedDisks();
        ImageCorruptException e = Assert.Throws<ImageCorruptException>(() => new Restorer(node.Store).Restore(
            node.Hypervisor, manifest, disks: puts, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(file, e.File);
        Assert.Equal(0, puts.Puts);

        // The other one can be restored by itself.
        IDomain restored = Assert.Single(new Restorer(node.Store).Restore(
            node.Hypervisor, manifest, [manifest.Domains[0].Uuid],
            cancellationToken: TestContext.Current.CancellationToken));
        restored.Dispose();
    }

    [Fact]
    public async Task A_label_that_cannot_be_stored_is_refused_before_anything_is_suspended()
    {
        await using var node = new ModelNode(Small);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        bool stepped = false;
        node.Watch = _ => stepped = true;
        foreach (string label in new[] { new string('x', 65), new string('ä', 33), "a\nb", "\ud800" })
        {
            ArgumentException e = await Assert.ThrowsAsync<ArgumentException>(() => node.Node.CheckpointAsync(
                1, label, cancellationToken: TestContext.Current.CancellationToken));
            Assert.Contains("at most 64 octets", e.Message, StringComparison.Ordinal);
        }

        Assert.False(stepped);
        _ = await node.Node.CheckpointAsync(
            1, new string('ä', 32), cancellationToken: TestContext.Current.CancellationToken);
    }

    // The checkpoint once more, with another blob, or without it.
    private static CheckpointManifest CopyWith(
        DirectoryStore store, Guid checkpoint, Guid domain, string name, string? content)
    {
        var blobs = new Blobs();
        using (Chain chain = Chain.Open(store, checkpoint, domain, ImageContent.Registers))
        {
            chain.Visit(blobs);
        }

        using var draft = new CheckpointDraft(store, "model");
        var part = new PartSpec { DomainUuid = domain, DomainName = "a", Content = ImageContent.Registers };
        ImageWriter writer = draft.AddPart(part);
        foreach ((string blob, byte[] bytes) in blobs.Found)
        {
            if (blob != name || content is not null)
            {
                writer.AddBlob(blob, blob == name ? Encoding.UTF8.GetBytes(content!) : bytes);
            }
        }

        _ = draft.AddPart(part with { Content = ImageContent.Memory, UnitSize = 4096, UnitCount = 16 });
        return draft.Commit(new CheckpointClosing(2, DateTimeOffset.UtcNow));
    }

    private sealed class Blobs : ImageVisitor
    {
        internal Dictionary<string, byte[]> Found { get; } = [];

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last) =>
            Found[name] = [.. Found.GetValueOrDefault(name, []), .. part];
    }

    private sealed class CountedDisks : IDiskRestorer
    {
        internal int Puts { get; private set; }

        public string? FindObstacle(CheckpointManifest checkpoint, ManifestDomain domain) => null;

        public void Put(CheckpointManifest checkpoint, ManifestDomain domain) => Puts++;

        public void Attached(CheckpointManifest checkpoint, ManifestDomain domain, IDomain restored)
        {
        }

        public void Undo(ManifestDomain domain)
        {
        }
    }
}
