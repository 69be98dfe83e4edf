using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks;

public sealed class XenDiskProviderTests
{
    private const string Ours = "/dev/mapper/xtl-v", Exported = "/dirs/d/mnt/export";

    private static readonly DiskState State = DiskState.Empty
        .With(DiskRegistryTests.Pool)
        .With(new VolumeRecord("v", "p", 1, 1 << 26, null, null, null, []))
        .With(new DirectoryRecord("d", "/dirs/d", 2, [new LayerRecord(1, Guid.NewGuid())], 2, null, null, [], [], []));

    [Fact]
    public void A_writable_disk_on_a_volume_is_covered_and_a_read_only_one_is_not_looked_at()
    {
        (XlStream.XlDisk disk, VolumeRecord volume) = Assert.Single(XenDiskProvider.Cover(
            With(Disk("xvda", Ours), Disk("xvdb", "/other", writable: false)), State, memoryOnly: false));
        Assert.Equal("xvda", disk.Vdev);
        Assert.Equal("v", volume.Name);
    }

    [Theory]
    [InlineData("/dev/sda1", "phy", "", "xvdz (/dev/sda1)")]
    [InlineData("/dev/mapper/xtl-w", "phy", "", "xvdz (/dev/mapper/xtl-w)")]
    [InlineData("/dev/mapper/xtl-", "phy", "", "xvdz (/dev/mapper/xtl-)")]
    [InlineData("xtl-v", "phy", "", "xvdz (xtl-v)")]
    [InlineData(Ours, "qdisk", "", "served by qdisk instead of phy")]
    [InlineData(Ours, "phy", ",\"backend_domid\":4", "driver domain")]
    [InlineData(Ours, "phy", ",\"backend_domname\":\"store\"", "driver domain")]
    [InlineData(Ours, "phy", ",\"script\":\"block-iscsi\"", "script block-iscsi")]
    public void A_writable_disk_that_is_not_covered_is_refused_by_its_name(
        string path, string backend, string more, string named)
    {
        DomainConfiguration configuration = With(Disk("xvda", Ours), Disk("xvdz", path, backend, more: more));
        DiskNotCoveredException e = Assert.Throws<DiskNotCoveredException>(
            () => XenDiskProvider.Cover(configuration, State, memoryOnly: false));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Contains("domain guest", e.Message, StringComparison.Ordinal);
        Assert.Contains("--memory-only", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_only_leaves_out_what_is_not_covered()
    {
        DomainConfiguration configuration = With(Disk("xvda", Ours), Disk("xvdz", "/dev/sda1"));
        Assert.Equal(
            ["xvda"], XenDiskProvider.Cover(configuration, State, memoryOnly: true).Select(c => c.Disk.Vdev));
    }

    [Fact]
    public void A_share_in_a_directory_of_this_host_is_covered()
    {
        (XenShare share, DirectoryRecord directory) = Assert.Single(XenDiskProvider.CoverShares(
            Sharing(Share("home", $"{Exported}/")), State, memoryOnly: false));
        Assert.Equal("home", share.Tag);
        Assert.Equal("d", directory.Name);
    }

    [Theory]
    [InlineData("home", "/srv/home", "", "home (9pfs, /srv/home)")]
    [InlineData("home", "/dirs/d", "", "home (9pfs, /dirs/d, which is inside directory d: its path is /dirs/d/mnt/export)")]
    [InlineData("home", Exported + "/data", "", "inside directory d")]
    [InlineData("home", "/dirs/different", "", "home (9pfs, /dirs/different)")]
    [InlineData("a.b", Exported, "", "whose tag is not")]
    [InlineData("home", Exported, ",\"backend_domid\":3", "driver domain")]
    [InlineData("home", Exported, ",\"backend_domname\":\"store\"", "driver domain")]
    [InlineData("other", Exported, "", "there are two")]
    public void A_share_that_is_not_covered_is_refused_by_its_name(string tag, string path, string more, string named)
    {
        string[] shares = named.Contains("two", StringComparison.Ordinal)
            ? [Share("home", Exported), Share(tag, path, more)]
            : [Share(tag, path, more)];
        DiskNotCoveredException e = Assert.Throws<DiskNotCoveredException>(
            () => XenDiskProvider.CoverShares(Sharing(shares), State, memoryOnly: false));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Empty(XenDiskProvider.CoverShares(Sharing(shares), State, memoryOnly: true));
    }

    [Fact]
    public void A_domain_without_disks_needs_none() =>
        Assert.Empty(XenDiskProvider.Cover(With(), DiskState.Empty, memoryOnly: false));

    [Fact]
    public void A_configuration_that_makes_no_sense_is_an_error()
    {
        DomainConfiguration broken = With() with { Toolstack = "{" };
        HypervisorException e = Assert.Throws<HypervisorException>(
            () => XenDiskProvider.Cover(broken, State, memoryOnly: true));
        Assert.Contains("domain guest", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pcidevs", "PCI device", true)]
    [InlineData("vtpms", "virtual TPM", false)]
    [InlineData("usbctrls", "USB controller", false)]
    [InlineData("usbdevs", "USB device", false)]
    [InlineData("pvcallsifs", "PV calls", false)]
    [InlineData("vsnds", "sound card", false)]
    [InlineData("vdispls", "virtual display", false)]
    [InlineData("virtios", "virtio device", false)]
    [InlineData("teleporters", "'teleporters', which this software does not know", false)]
    public void A_device_whose_state_would_be_missing_is_refused_by_its_name(string kind, string named, bool always)
    {
        DomainConfiguration plain = With();
        DomainConfiguration configuration = plain with
        {
            Toolstack = plain.Toolstack.Replace("\"disks\"", $"\"{kind}\":[{{}}],\"disks\"", StringComparison.Ordinal),
        };
        DeviceNotCoveredException e = Assert.Throws<DeviceNotCoveredException>(
            () => OtherDevices.RequireCovered(configuration, memoryOnly: false));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Contains("Domain guest", e.Message, StringComparison.Ordinal);
        Assert.Contains("xtlctl domain set guest --exclude", e.Message, StringComparison.Ordinal);
        if (always)
        {
            _ = Assert.Throws<DeviceNotCoveredException>(() => OtherDevices.RequireCovered(configuration, memoryOnly: true));
        }
        else
        {
            OtherDevices.RequireCovered(configuration, memoryOnly: true);
        }
    }

    [Theory]
    [InlineData("vfbs")]
    [InlineData("vkbs")]
    [InlineData("channels")]
    [InlineData("p9s")]
    public void A_device_without_a_state_of_its_own_is_no_obstacle(string kind)
    {
        DomainConfiguration plain = With();
        OtherDevices.RequireCovered(
            plain with
            {
                Toolstack = plain.Toolstack.Replace("\"disks\"", $"\"{kind}\":[{{}}],\"disks\"", StringComparison.Ordinal),
            },
            memoryOnly: false);
    }

    private static string Share(string tag, string path, string more = "") =>
        $$"""{"tag":"{{tag}}","path":"{{path}}","security_model":"none"{{more}}}""";

    [Fact]
    public void Addresses_of_interfaces_are_numbers_and_what_has_none_is_not_there()
    {
        DomainConfiguration plain = With();
        const string Nics = """
            "nics":[{"devid":0,"mac":"00:16:3e:5f:a0:0b","bridge":"xenbr0"},{"devid":1},{"devid":2,"mac":"00:00:00:00:00:00"},{"devid":3,"mac":"nonsense"}],"disks"
            """;
        Assert.Equal([0x00163E5FA00BUL], XenDiskProvider.AddressesOf(
            plain with { Toolstack = plain.Toolstack.Replace("\"disks\"", Nics, StringComparison.Ordinal) }));
        Assert.Empty(XenDiskProvider.AddressesOf(plain));
    }

    private static DomainConfiguration Sharing(params string[] shares)
    {
        DomainConfiguration plain = With();
        return plain with
        {
            Toolstack = plain.Toolstack.Replace(
                "\"disks\"", $"\"p9s\":[{string.Join(',', shares)}],\"disks\"", StringComparison.Ordinal),
        };
    }

    private static string Disk(
        string vdev, string path, string backend = "phy", bool writable = true, string more = "") =>
        $$"""{"pdev_path":"{{path}}","vdev":"{{vdev}}","backend":"{{backend}}","format":"raw","readwrite":{{(writable ? 1 : 0)}}{{more}}}""";

    private static DomainConfiguration With(params string[] disks) => new(
        "guest", GuestKind.Pvh,
        $$"""{"c_info":{"type":"pvh","name":"guest","uuid":"00112233-4455-6677-8899-aabbccddeeff"},"b_info":{"type.pvh":{} },"disks":[{{string.Join(',', disks)}}]}""",
        ReadOnlyMemory<byte>.Empty, ReadOnlyMemory<byte>.Empty, "4.17.7");
}
