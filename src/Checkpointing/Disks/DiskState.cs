using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>What a host knows of its disks: the contents of the registry's file.</summary>
/// <param name="Pools">Thin pools.</param>
/// <param name="Volumes">Volumes of the pools.</param>
/// <param name="Directories">Directories on overlayfs.</param>
public sealed record DiskState(
    IReadOnlyList<PoolRecord> Pools, IReadOnlyList<VolumeRecord> Volumes, IReadOnlyList<DirectoryRecord> Directories)
{
    /// <summary>Nothing.</summary>
    public static DiskState Empty { get; } = new([], [], []);

    /// <summary>Finds a pool by its name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="DiskException">There is none.</exception>
    public PoolRecord Pool(string name) => Pools.FirstOrDefault(p => p.Name == name)
        ?? throw new DiskException($"There is no pool {name}. 'xtlctl disk list' lists what there is.");

    /// <summary>Finds a volume by its name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="DiskException">There is none.</exception>
    public VolumeRecord Volume(string name) => Volumes.FirstOrDefault(v => v.Name == name)
        ?? throw new DiskException($"There is no volume {name}. 'xtlctl disk list' lists what there is.");

    /// <summary>Finds a directory by its name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="DiskException">There is none.</exception>
    public DirectoryRecord Directory(string name) => Directories.FirstOrDefault(d => d.Name == name)
        ?? throw new DiskException($"There is no directory {name}. 'xtlctl disk list' lists what there is.");

    internal DiskState With(DirectoryRecord directory) =>
        this with { Directories = [.. Directories.Where(d => d.Name != directory.Name), directory] };

    internal DiskState Without(DirectoryRecord directory) =>
        this with { Directories = [.. Directories.Where(d => d.Name != directory.Name)] };

    internal DiskState With(PoolRecord pool) =>
        this with { Pools = [.. Pools.Where(p => p.Name != pool.Name), pool] };

    internal DiskState With(VolumeRecord volume) =>
        this with { Volumes = [.. Volumes.Where(v => v.Name != volume.Name), volume] };

    internal DiskState Without(VolumeRecord volume) =>
        this with { Volumes = [.. Volumes.Where(v => v.Name != volume.Name)] };

    internal DiskState Without(PoolRecord pool) =>
        this with { Pools = [.. Pools.Where(p => p.Name != pool.Name)] };

    /// <summary>Lets thin devices be deleted, at once or whenever it is possible.</summary>
    internal DiskState Discarding(string pool, params IEnumerable<int> thinIds)
    {
        PoolRecord record = Pool(pool);
        return With(record with { Unwanted = [.. record.Unwanted.Union(thinIds)] });
    }

    /// <summary>Finds a thin id that nothing has: the one behind the last, around and past those in use.</summary>
    internal int NextThinId(string pool)
    {
        PoolRecord record = Pool(pool);
        HashSet<int> used = [.. record.Unwanted, .. Volumes.Where(v => v.Pool == pool).SelectMany(v => v.ThinIds)];
        int id = record.LastThinId;
        do
        {
            id = (id + 1) & PoolRecord.MaxThinId;
        }
        while (used.Contains(id));
        return id;
    }
}

/// <summary>A thin pool.</summary>
/// <param name="Name">Its name; the device is <c>xtlpool-NAME</c>.</param>
/// <param name="Data">The block device or file with the data.</param>
/// <param name="Metadata">The block device or file with the metadata.</param>
/// <param name="BlockSectors">Sectors of 512 bytes of a block.</param>
/// <param name="LastThinId">The thin id given last.</param>
/// <param name="Unwanted">Thin ids that nobody needs, and that may exist still.</param>
public sealed record PoolRecord(
    string Name, string Data, string Metadata, int BlockSectors, int LastThinId, IReadOnlyList<int> Unwanted)
{
    /// <summary>A thin id has 24 bits.</summary>
    internal const int MaxThinId = (1 << 24) - 1;

    /// <summary>Bytes of a block.</summary>
    public long BlockSize => (long)BlockSectors * 512;

    internal string Device => $"xtlpool-{Name}";
}

/// <summary>A volume: a thin device under a name that stays when its contents are replaced by a restore.</summary>
/// <param name="Name">Its name; the device is <c>/dev/mapper/xtl-NAME</c>.</param>
/// <param name="Pool">Its pool.</param>
/// <param name="ThinId">The thin device that it is now.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Sealed">The snapshot that the next increment builds upon; null where the next image is full.</param>
/// <param name="Pending">The snapshot of a checkpoint that is under way, or was when its process ended.</param>
/// <param name="Restoring">The thin device of a restore that is under way, or was when its process ended.</param>
/// <param name="Kept">What the volume was before it was restored, oldest first.</param>
public sealed record VolumeRecord(
    string Name, string Pool, int ThinId, long Length, SealedRecord? Sealed, int? Pending, int? Restoring,
    IReadOnlyList<KeptRecord> Kept)
{
    /// <summary>What the devices of volumes begin with, under <c>/dev/mapper</c>.</summary>
    internal const string DevicePrefix = "xtl-";

    /// <summary>The device that a guest's configuration names.</summary>
    public string Path => $"/dev/mapper/{Device}";

    internal string Device => DevicePrefix + Name;

    internal string SnapshotDevice => $"xtlsnap-{Name}";

    internal string BaseDevice => $"xtlbase-{Name}";

    internal string RestoreDevice => $"xtlput-{Name}";

    /// <summary>All thin devices that belong to the volume.</summary>
    internal IEnumerable<int> ThinIds =>
    [
        ThinId,
        .. Sealed is null ? Enumerable.Empty<int>() : [Sealed.ThinId],
        .. Pending is null ? Enumerable.Empty<int>() : [Pending.Value],
        .. Restoring is null ? Enumerable.Empty<int>() : [Restoring.Value],
        .. Kept.Select(k => k.ThinId),
    ];
}

/// <summary>A snapshot that holds what a volume was at a checkpoint.</summary>
/// <param name="Checkpoint">The checkpoint's identity.</param>
/// <param name="ThinId">The snapshot.</param>
public sealed record SealedRecord(Guid Checkpoint, int ThinId);

/// <summary>What a volume was before a restore.</summary>
/// <param name="ThinId">The thin device.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Since">When it was put aside.</param>
/// <param name="RestoredTo">The checkpoint that the volume was restored to.</param>
public sealed record KeptRecord(int ThinId, long Length, DateTimeOffset Since, Guid RestoredTo);

/// <summary>Something about a disk is not as it has to be.</summary>
public sealed class DiskException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What it is and what can be done.</param>
    /// <param name="inner">The cause, if there is one.</param>
    public DiskException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
