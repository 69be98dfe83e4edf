using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Hypervisor;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks;

public sealed class XenDiskProviderTests
{
    private const string Ours = "/dev/mapper/xtl-v";

    private static readonly DiskState State = DiskState.Empty
        .With(DiskRegistryTests.Pool)
        .With(new VolumeRecord("v", "p", 1, 1 << 26, null, null, null, []));

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
    public void A_shared_directory_is_refused_by_its_name()
    {
        DomainConfiguration shared = With(Disk("xvda", Ours));
        shared = shared with
        {
            Toolstack = shared.Toolstack.Replace(
                "\"disks\"", "\"p9s\":[{\"tag\":\"home\",\"path\":\"/srv/home\"}],\"disks\"", StringComparison.Ordinal),
        };
        DiskNotCoveredException e = Assert.Throws<DiskNotCoveredException>(
            () => XenDiskProvider.Cover(shared, State, memoryOnly: false));
        Assert.Contains("home (9pfs, /srv/home)", e.Message, StringComparison.Ordinal);
        _ = Assert.Single(XenDiskProvider.Cover(shared, State, memoryOnly: true));
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

    private static string Disk(
        string vdev, string path, string backend = "phy", bool writable = true, string more = "") =>
        $$"""{"pdev_path":"{{path}}","vdev":"{{vdev}}","backend":"{{backend}}","format":"raw","readwrite":{{(writable ? 1 : 0)}}{{more}}}""";

    private static DomainConfiguration With(params string[] disks) => new(
        "guest", GuestKind.Pvh,
        $$"""{"c_info":{"type":"pvh","name":"guest","uuid":"00112233-4455-6677-8899-aabbccddeeff"},"b_info":{"type.pvh":{} },"disks":[{{string.Join(',', disks)}}]}""",
        ReadOnlyMemory<byte>.Empty, ReadOnlyMemory<byte>.Empty, "4.17.7");
}
