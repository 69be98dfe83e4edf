using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <content>Pools.</content>
public sealed partial class ThinVolumes
{
    /// <summary>The least and the most that a pool's block can be, in bytes, and what it is a multiple of
    /// (dm-thin.c: DATA_DEV_BLOCK_SIZE_MIN_SECTORS, ..._MAX_SECTORS).</summary>
    private const int MinBlockSize = 64 << 10, MaxBlockSize = 1 << 30;

    /// <summary>Far enough for the marks of partition tables, LVM, RAID, swap and file systems; btrfs's is the last one,
    /// at 64 KiB.</summary>
    private const int BlankLength = 128 << 10;

    /// <summary>Below this many free blocks the kernel raises an event; nobody here waits for one.</summary>
    private const int LowWaterMark = 0;

    /// <summary>Makes a pool of two block devices or files, and activates it.</summary>
    /// <param name="name">Its name, as of a volume.</param>
    /// <param name="data">The block device or file for the data; it begins with zeros.</param>
    /// <param name="metadata">The block device or file for the metadata; it begins with zeros.</param>
    /// <param name="size">Bytes of data: files that are missing are made, sparse. Null makes none.</param>
    /// <param name="blockSize">Bytes of a block: a multiple of 64 KiB.</param>
    /// <exception cref="DiskException">Something is there that would be lost, or the pool cannot be made.</exception>
    public PoolRecord CreatePool(string name, string data, string metadata, long? size = null, int blockSize = MinBlockSize)
    {
        DiskNames.Check(name);
        if (blockSize < MinBlockSize || blockSize > MaxBlockSize || blockSize % MinBlockSize != 0)
        {
            throw new DiskException("A pool's block is a multiple of 64 KiB, up to 1 GiB.");
        }

        data = Path.GetFullPath(data);
        metadata = Path.GetFullPath(metadata);
        if (size is { } bytes)
        {
            MakeFile(data, bytes);

            // 64 bytes a block, as thin_metadata_size reckons, and twice that; 4 MiB at least, 16 GiB are used at most.
            MakeFile(metadata, Math.Clamp(bytes / blockSize * 128, 4 << 20, 16L << 30) / 4096 * 4096);
        }

        string[] both = [data, metadata];
        if (both.FirstOrDefault(p => !IsBlank(p)) is { } full)
        {
            throw new DiskException(
                $"{full} holds something, which would be lost. If that is not needed any more, clear its beginning: "
                + $"dd if=/dev/zero of={full} bs={BlankLength} count=1 conv=notrunc");
        }

        DiskState state = registry.Update(s => s.Pools.FirstOrDefault(p =>
            p.Name == name || p.Data == data || p.Metadata == metadata || p.Data == metadata || p.Metadata == data) is { } old
                ? throw new DiskException($"There is a pool {old.Name} of {old.Data} and {old.Metadata} already.")
                : s.With(new PoolRecord(name, data, metadata, blockSize / 512, 0, [])));
        try
        {
            ActivatePool(state.Pool(name));
            return state.Pool(name);
        }
        catch
        {
            Release(state.Pool(name));

            // Blank before, and the kernel may have begun a pool there: nothing is lost, and another attempt can be made.
            using SafeFileHandle device = VolumeData.OpenToWrite(metadata);
            RandomAccess.Write(device, new byte[BlankLength], 0);
            throw;
        }
    }

    /// <summary>Takes a pool without volumes off this host. Its devices stay as they are.</summary>
    /// <param name="name">The pool.</param>
    /// <exception cref="DiskException">It has volumes.</exception>
    public void RemovePool(string name)
    {
        DiskState state = registry.Read();
        PoolRecord pool = state.Pool(name);
        if (state.Volumes.Any(v => v.Pool == name))
        {
            throw new DiskException($"Pool {name} has volumes. 'xtlctl disk remove' removes them.");
        }

        Release(pool);
    }

    /// <summary>Activates all pools and volumes, for instance after the host was booted, and lets those go on that were
    /// left suspended.</summary>
    /// <returns>What could not be activated, as sentences.</returns>
    public IReadOnlyList<string> ActivateAll()
    {
        var problems = new List<string>();
        DiskState state = registry.Read();
        foreach (PoolRecord pool in state.Pools)
        {
            Attempt($"Pool {pool.Name}", () => ActivatePool(pool));
        }

        foreach (VolumeRecord volume in state.Volumes)
        {
            Attempt($"Volume {volume.Name}", () => Activate(volume));
        }

        return problems;

        void Attempt(string what, Action action)
        {
            try
            {
                action();
            }
            catch (Exception e) when (e is DiskException or IOException)
            {
                problems.Add($"{what}: {e.Message}");
            }
        }
    }

    private void Release(PoolRecord pool)
    {
        new ThinPool(mapper, registry, pool.Name).Deactivate(pool.Device);
        DeviceLinks.Remove(pool.Device);
        LoopDevice.Detach(pool.Data);
        LoopDevice.Detach(pool.Metadata);
        _ = registry.Update(s => s.Without(pool));
    }

    private void ActivatePool(PoolRecord pool)
    {
        if (mapper.Find(pool.Device) is { HasTable: true })
        {
            return;
        }

        // The kernel makes a new, empty pool where the metadata begin with zeros.
        if (registry.Read().Volumes.Any(v => v.Pool == pool.Name) && IsBlank(pool.Metadata))
        {
            throw new DiskException(
                $"{pool.Metadata} does not hold the pool's metadata. Is it the right device? Nothing was changed.");
        }

        string data = LoopDevice.Attach(pool.Data), metadata = LoopDevice.Attach(pool.Metadata);
        using SafeFileHandle device = VolumeData.OpenToRead(data);
        long sectors = BlockDevice.LengthOf(device) / pool.BlockSize * pool.BlockSectors;
        DmDeviceInfo info = mapper.Find(pool.Device) ?? mapper.Create(pool.Device, $"XTL-{pool.Device}");
        try
        {
            mapper.LoadTable(
                pool.Device,
                [new DmTarget(0, sectors, "thin-pool", $"{metadata} {data} {pool.BlockSectors} {LowWaterMark}")]);
            mapper.Resume(pool.Device);
        }
        catch
        {
            mapper.Remove(pool.Device);
            throw;
        }

        DeviceLinks.Ensure(pool.Device, info.Node);
    }

    private static void MakeFile(string path, long length)
    {
        if (!File.Exists(path))
        {
            using var file = new FileStream(path, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            });
            file.SetLength(length);
        }
    }

    private static bool IsBlank(string path)
    {
        _ = LoopDevice.IsBlockDevice(path);
        byte[] first = new byte[BlankLength];
        using SafeFileHandle device = VolumeData.OpenToRead(path);
        VolumeData.Read(device, first, 0);
        return !first.AsSpan().ContainsAnyExcept((byte)0);
    }
}
