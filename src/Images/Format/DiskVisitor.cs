namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Keeps which disk an image is of, and nothing else.</summary>
internal sealed class DiskVisitor : ImageVisitor
{
    internal DiskInfo? Disk { get; private set; }

    public override void OnDisk(DiskInfo disk) => Disk = disk;
}
