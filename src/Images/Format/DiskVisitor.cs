namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Keeps which disk an image is of, and the names of its layers or blobs.</summary>
internal sealed class DiskVisitor : ImageVisitor
{
    internal DiskInfo? Disk { get; private set; }

    internal List<string> Names { get; } = [];

    public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
    {
        if (last)
        {
            Names.Add(name);
        }
    }

    public override void OnDisk(DiskInfo disk) => Disk = disk;
}
