using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Dom0Tests.Disks;

/// <summary>A stepper whose disk is a volume: it ends with BROKEN where its memory and its disk are not of one moment.
/// </summary>
public sealed class GuestDiskTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_restored_guest_finds_its_disk_as_its_memory_remembers_it()
    {
        using var node = new ThinNode(16 << 20);
        using XenHypervisor hypervisor = XenHypervisor.Open();
        string guest = $"g{node.Volume.Name}";
        var console = new GuestConsole(guest);
        Guid uuid = Create(guest, node.Volume.Path);
        try
        {
            await console.StepsAsync(5);
            var provider = new XenDiskProvider(node.Mapper, node.Registry);
            CheckpointReport first, second;
            await using (var checkpointer = new NodeCheckpointer(
                hypervisor, node.Store, provider, new NodeOptions
                {
                    StateDirectory = $"/var/tmp/xtl-{node.Volume.Name}/state",
                    Domains = [uuid],
                    SuspendTimeout = TimeSpan.FromMinutes(5),
                }))
            {
                first = await checkpointer.CheckpointAsync(1, cancellationToken: Token);
                await console.StepsAsync(console.LastStep + 5);
                second = await checkpointer.CheckpointAsync(2, cancellationToken: Token);
                await console.StepsAsync(console.LastStep + 5);
            }

            TestContext.Current.TestOutputHelper!.WriteLine(
                $"T_d {first.Phases.Disks.TotalMilliseconds:F1} ms and {second.Phases.Disks.TotalMilliseconds:F1} ms");
            Assert.Equal(ImageKind.Full, Disk(node, uuid, first).Kind);
            ManifestPart increment = Disk(node, uuid, second);
            Assert.Equal(ImageKind.Increment, increment.Kind);

            // The first one lies before the second: the disk goes back, too.
            foreach (CheckpointReport report in new[] { second, first })
            {
                ThinNode.Run("xl", "destroy", guest);
                CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
                long before = console.Length;
                IDomain restored = Assert.Single(new Restorer(node.Store).Restore(
                    hypervisor, manifest, disks: new XenDiskRestorer(node.Mapper, node.Registry, node.Store),
                    cancellationToken: Token));
                restored.Dispose();

                // Each step verifies a part, and all 256 blocks of the disk come in turn.
                await console.StepsAsync(300, before);
            }

            Assert.Equal(2, node.Volume.Kept.Count);
        }
        finally
        {
            ThinNode.Run("xl", "destroy", guest);
        }
    }

    [Fact]
    public async Task A_guest_with_another_writable_disk_is_refused_unless_memory_only()
    {
        using var node = new ThinNode(16 << 20);
        using XenHypervisor hypervisor = XenHypervisor.Open();
        string guest = $"g{node.Volume.Name}", file = $"/var/tmp/{guest}.img";
        using (FileStream image = File.Create(file))
        {
            image.SetLength(1 << 20);
        }

        Guid uuid = Create(guest, node.Volume.Path, $", \"format=raw,vdev=xvdb,access=rw,backendtype=phy,target={file}\"");
        try
        {
            var options = new NodeOptions
            {
                StateDirectory = $"/var/tmp/xtl-{node.Volume.Name}/state",
                Domains = [uuid],
                SuspendTimeout = TimeSpan.FromMinutes(5),
            };
            var provider = new XenDiskProvider(node.Mapper, node.Registry);
            await using (var checkpointer = new NodeCheckpointer(hypervisor, node.Store, provider, options))
            {
                CheckpointFailedException e =
                    await Assert.ThrowsAsync<CheckpointFailedException>(() => checkpointer.CheckpointAsync(1, cancellationToken: Token));
                Assert.Contains("xvdb", e.Message, StringComparison.Ordinal);
                Assert.Contains(file, e.Message, StringComparison.Ordinal);
            }

            await using (var checkpointer = new NodeCheckpointer(
                hypervisor, node.Store, provider, options with { MemoryOnly = true }))
            {
                CheckpointReport report = await checkpointer.CheckpointAsync(1, cancellationToken: Token);
                Assert.Equal(["xvda"], node.Store.Checkpoints.Single(m => m.Id == report.Id).Domains[0].Parts
                    .Where(p => p.Content == ImageContent.BlockDevice).Select(p => p.Name));
            }
        }
        finally
        {
            ThinNode.Run("xl", "destroy", guest);
            File.Delete(file);
        }
    }

    private static ManifestPart Disk(ThinNode node, Guid uuid, CheckpointReport report) =>
        node.Store.Checkpoints.Single(m => m.Id == report.Id).Find(uuid, ImageContent.BlockDevice, "xvda")!;

    private static Guid Create(string name, string device, string moreDisks = "")
    {
        const string Lab = "/var/lib/xtl-lab";
        string file = $"/var/tmp/{name}.cfg";
        File.WriteAllText(file, $"""
            name = "{name}"
            type = "pvh"
            kernel = "{Lab}/guest/vmlinuz"
            ramdisk = "{Lab}/guest/initrd"
            memory = 96
            vcpus = 1
            disk = ["format=raw,vdev=xvda,access=rw,backendtype=phy,target={device}"{moreDisks}]
            extra = "console=hvc0 loglevel=2 panic=5 sysrq_always_enabled xtl.app=stepper stepper.pages=1024 stepper.period=20"
            tsc_mode = "native"
            on_crash = "preserve"
            on_reboot = "destroy"
            """);
        ThinNode.Run("xl", "create", "-q", file);
        File.Delete(file);
        using XenHypervisor hypervisor = XenHypervisor.Open();
        return hypervisor.FindDomain(name).Uuid;
    }
}
