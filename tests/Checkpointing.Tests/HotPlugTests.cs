using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>What changes of a domain between two checkpoints is found by the second.</summary>
public sealed class HotPlugTests
{
    [Fact]
    public async Task A_disk_that_came_is_in_the_next_checkpoint_and_one_that_went_is_not()
    {
        var disks = new PluggedDisks { Names = ["xvda"] };
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "" }, disksUsed: disks);
        ModelGuest guest = node.AddGuest("g");
        Assert.Equal(["xvda"], DisksOf(node, await node.CheckpointAsync(1), guest));

        disks.Names = ["xvda", "xvdb"];
        guest.Devices = "one more";
        Assert.Equal(["xvda", "xvdb"], DisksOf(node, await node.CheckpointAsync(2), guest));
        Assert.True(node.Said("Disk xvdb of domain g"));

        disks.Names = ["xvdb"];
        guest.Devices = "one less";
        Assert.Equal(["xvdb"], DisksOf(node, await node.CheckpointAsync(3), guest));
        Assert.True(node.Said("Disk xvda of domain g is gone"));
        Assert.Equal(1, disks.Open);
    }

    [Fact]
    public async Task A_disk_that_comes_while_the_checkpoint_is_taken_is_in_it()
    {
        var disks = new PluggedDisks { Names = ["xvda"] };
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "" }, disksUsed: disks);
        ModelGuest guest = node.AddGuest("g");
        bool done = false;
        node.Watch = step =>
        {
            if (step == NodeStep.PagesCopied && !done)
            {
                done = true;
                disks.Names = ["xvda", "xvdb"];
                guest.Devices = "one more";
            }
        };

        Assert.Equal(["xvda", "xvdb"], DisksOf(node, await node.CheckpointAsync(1), guest));
        Assert.Equal(2, guest.Suspensions);
    }

    [Fact]
    public async Task A_disk_that_came_and_cannot_be_saved_is_named()
    {
        var disks = new PluggedDisks { Names = ["xvda"] };
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "" }, disksUsed: disks);
        ModelGuest guest = node.AddGuest("g");
        _ = await node.CheckpointAsync(1);

        disks.Refused = "xvdz";
        guest.Devices = "a plain volume";
        CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
        Assert.Contains("xvdz of domain g", e.Message, StringComparison.Ordinal);
        Assert.Equal(1, disks.Open);

        disks.Refused = null;
        guest.Devices = "gone again";
        _ = await node.CheckpointAsync(2);
    }

    [Fact]
    public async Task A_domain_that_was_renamed_has_its_new_name_in_the_next_checkpoint()
    {
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "" });
        ModelGuest guest = node.AddGuest("old");
        _ = await node.CheckpointAsync(1);

        guest.Name = "new";
        CheckpointReport report = await node.CheckpointAsync(2);

        Assert.Equal("new", Assert.Single(report.Domains).Name);
        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        Assert.Equal("new", Assert.Single(manifest.Domains).Name);
        Assert.Equal(ImageKind.Increment, manifest.Find(guest.Uuid, ImageContent.Memory)!.Kind);
        Assert.Equal(["new"], node.Node.Domains);
    }

    private static string[] DisksOf(ModelNode node, CheckpointReport report, ModelGuest guest) =>
    [
        .. node.Store.Checkpoints.Single(m => m.Id == report.Id).Domains.Single(d => d.Uuid == guest.Uuid).Parts
            .Where(p => p.Content == ImageContent.BlockDevice).Select(p => p.Name).Order(),
    ];

    /// <summary>Empty disks of one block, as many as somebody says.</summary>
    private sealed class PluggedDisks : IDiskProvider
    {
        internal IReadOnlyList<string> Names { get; set; } = [];

        internal string? Refused { get; set; }

        internal int Open { get; private set; }

        IReadOnlyList<ICheckpointedDisk> IDiskProvider.Open(
            IDomain domain, DomainConfiguration configuration, bool memoryOnly)
        {
            if (Refused is not null)
            {
                throw new DiskNotCoveredException(configuration.Name, Refused);
            }

            Open += Names.Count;
            return [.. Names.Select(n => new EmptyDisk(n, () => Open--))];
        }
    }

    private sealed class EmptyDisk(string name, Action disposed) : ICheckpointedDisk
    {
        public string Name => name;

        public ImageContent Content => ImageContent.BlockDevice;

        public DiskInfo Info => new(name, 4096);

        public int BlockSize => 4096;

        public void Prepare(Guid checkpoint)
        {
        }

        public void Seal()
        {
        }

        public void Write(ImageWriter writer, Guid since)
        {
        }

        public bool CanBuildUpon(Guid checkpoint) => false;

        public void Keep()
        {
        }

        public void Abandon()
        {
        }

        public void Dispose() => disposed();
    }
}
