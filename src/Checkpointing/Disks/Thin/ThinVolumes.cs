using System.Globalization;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>The volumes of this host: what <c>xtlctl disk</c> does.</summary>
/// <param name="mapper">Device-mapper; stays the caller's.</param>
/// <param name="registry">The host's record.</param>
/// <remarks>The record is changed before a device is made, so that one whose making was interrupted is known.</remarks>
public sealed partial class ThinVolumes(DeviceMapper mapper, DiskRegistry registry)
{
    /// <summary>The record.</summary>
    public DiskRegistry Registry => registry;

    /// <summary>Makes a volume that reads as zeros, and activates it.</summary>
    /// <param name="name">Its name: 1 to 64 of <c>A-Z a-z 0-9 _ . -</c>, beginning with a letter or digit.</param>
    /// <param name="pool">Its pool; null for the only one.</param>
    /// <param name="length">Bytes, a multiple of 4096.</param>
    /// <exception cref="DiskException">The name is taken, the length not possible, or the pool not active.</exception>
    public VolumeRecord Create(string name, string? pool, long length)
    {
        DiskNames.Check(name);
        if (length <= 0 || length % VolumeData.UnitSize != 0 || length > VolumeData.MaxLength)
        {
            throw new DiskException(
                $"A volume has a multiple of {VolumeData.UnitSize} bytes, and at most {VolumeData.MaxLength}; {length} "
                + "is not possible.");
        }

        DiskState state = registry.Update(s =>
        {
            if (s.Volumes.Any(v => v.Name == name) || s.Directories.Any(d => d.Name == name))
            {
                throw new DiskException($"There is a volume or directory {name} already.");
            }

            PoolRecord record = pool is not null ? s.Pool(pool) : OnlyPool(s);
            int id = s.NextThinId(record.Name);
            return s.With(record with { LastThinId = id })
                .With(new VolumeRecord(name, record.Name, id, length, null, null, null, []));
        });
        VolumeRecord volume = state.Volume(name);
        try
        {
            new ThinPool(mapper, registry, volume.Pool).CreateThin(volume.ThinId);
            Activate(volume);
            return volume;
        }
        catch
        {
            Forget(volume);
            throw;
        }
    }

    /// <summary>Makes a volume with the contents of a disk that is used by nobody now. The disk stays as it is.</summary>
    /// <param name="name">The volume's name.</param>
    /// <param name="pool">Its pool; null for the only one.</param>
    /// <param name="source">A block device, or a file with a raw image.</param>
    /// <exception cref="DiskException">The disk is in use, or the volume cannot be made.</exception>
    /// <exception cref="IOException">The disk cannot be read.</exception>
    public VolumeRecord Adopt(string name, string? pool, string source)
    {
        RequireUnused(source);
        using SafeFileHandle from = VolumeData.OpenToRead(source);
        long length = LoopDevice.IsBlockDevice(source) ? BlockDevice.LengthOf(from) : RandomAccess.GetLength(from);
        long rounded = (length + VolumeData.UnitSize - 1) / VolumeData.UnitSize * VolumeData.UnitSize;
        VolumeRecord volume = Create(name, pool, rounded);
        try
        {
            using SafeFileHandle to = VolumeData.OpenToWrite(mapper.Find(volume.Device)!.Value.Node);
            VolumeData.Copy(from, to, length);
            return volume;
        }
        catch
        {
            Remove(name);
            throw;
        }
    }

    /// <summary>Removes a volume and what it holds.</summary>
    /// <param name="name">The volume.</param>
    /// <exception cref="DiskException">Somebody has it open, or a restore kept what it was before.</exception>
    public void Remove(string name)
    {
        VolumeRecord volume = registry.Read().Volume(name);
        if (volume.Kept.Count > 0)
        {
            throw new DiskException(
                $"Volume {name} has {volume.Kept.Count} earlier state(s) that restores kept. 'xtlctl disk remove {name} "
                + "--kept' drops them.");
        }

        RequireClosed(volume);
        Forget(volume);
    }

    /// <summary>Drops what restores kept of a volume.</summary>
    /// <param name="name">The volume.</param>
    /// <returns>How many states were dropped.</returns>
    public int RemoveKept(string name)
    {
        int count = 0;
        DiskState state = registry.Update(s =>
        {
            VolumeRecord volume = s.Volume(name);
            count = volume.Kept.Count;
            return s.Discarding(volume.Pool, volume.Kept.Select(k => k.ThinId)).With(volume with { Kept = [] });
        });
        new ThinPool(mapper, registry, state.Volume(name).Pool).Purge();
        return count;
    }

    /// <summary>Makes a volume's device be what the record says.</summary>
    /// <param name="volume">The volume.</param>
    /// <exception cref="DiskException">The device is open and holds something else.</exception>
    public void Activate(VolumeRecord volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        DmTarget wanted = new ThinPool(mapper, registry, volume.Pool).Table(volume.ThinId, volume.Length);
        bool made = false;
        if (mapper.Find(volume.Device) is not { } info)
        {
            info = mapper.Create(volume.Device, $"XTL-{volume.Device}");
            made = true;
        }

        try
        {
            if (!info.HasTable || mapper.Table(volume.Device) is not [{ } live] || live != wanted)
            {
                if (info.OpenCount > 0)
                {
                    throw new DiskException(
                        $"{volume.Path} is open and holds another state than it should. Destroy the domain that uses it, "
                        + "and try again.");
                }

                mapper.LoadTable(volume.Device, [wanted]);
                if (info.HasTable)
                {
                    mapper.Suspend(volume.Device);
                }
            }

            // Also where the table is right: a process that ended while it took a snapshot left the device suspended.
            mapper.Resume(volume.Device);
        }
        catch when (made)
        {
            mapper.Remove(volume.Device);
            throw;
        }

        DeviceLinks.Ensure(volume.Device, info.Node);
    }

    /// <summary>Lets volumes go on that a process left suspended when it ended in the middle of a checkpoint.</summary>
    /// <returns>What was done, as sentences.</returns>
    /// <remarks>The process must be known to have ended.</remarks>
    public IReadOnlyList<string> Recover()
    {
        var done = new List<string>();
        foreach (VolumeRecord volume in registry.Read().Volumes)
        {
            if (mapper.Find(volume.Device) is { IsSuspended: true })
            {
                mapper.Resume(volume.Device);
                done.Add($"Volume {volume.Name} was left suspended and has been resumed.");
            }
        }

        return done;
    }

    /// <summary>Says what a volume's device does.</summary>
    /// <param name="volume">The volume.</param>
    /// <returns><c>free</c>, <c>in use</c>, <c>suspended</c> or <c>inactive</c>; and the bytes that have blocks in the
    /// pool, null where that is not known.</returns>
    public (string State, long? Used) StateOf(VolumeRecord volume)
    {
        ArgumentNullException.ThrowIfNull(volume);
        if (mapper.Find(volume.Device) is not { HasTable: true } info)
        {
            return ("inactive", null);
        }

        // "MAPPED-SECTORS HIGHEST-SECTOR", or "Fail".
        long? used = mapper.Status(volume.Device) is [{ Type: "thin" } thin]
            && long.TryParse(thin.Parameters.Split(' ')[0], NumberStyles.None, null, out long sectors)
                ? sectors * 512
                : null;
        return (info.IsSuspended ? "suspended" : info.OpenCount > 0 ? "in use" : "free", used);
    }

    /// <summary>Waits until nobody has a volume open.</summary>
    /// <exception cref="DiskException">Somebody still has after ten seconds.</exception>
    internal void RequireClosed(VolumeRecord volume)
    {
        if (!new ThinPool(mapper, registry, volume.Pool).IsClosed(volume.Device))
        {
            throw new DiskException(
                $"{volume.Path} is in use ('fuser -v {volume.Path}' names programs, 'xl list' domains). End the domain "
                + "that has it, and try again.");
        }
    }

    private static PoolRecord OnlyPool(DiskState state) => state.Pools switch
    {
        [{ } one] => one,
        [] => throw new DiskException("There is no pool. 'xtlctl disk pool create' makes one."),
        _ => throw new DiskException(
            $"There are several pools: {string.Join(", ", state.Pools.Select(p => p.Name))}. 'xtlctl disk create NAME --size "
            + "SIZE --pool POOL' makes a volume in one of them."),
    };

    // What a domain's backend holds open does not show as claimed, but in sysfs.
    private static void RequireUnused(string source)
    {
        bool used = LoopDevice.IsBlockDevice(source)
            ? BlockDevice.IsClaimed(source) || Backends.Serve(source)
            : LoopDevice.Find(source) is not null;
        if (used)
        {
            throw new DiskException(
                $"{source} is in use, so a copy of it would not be of one moment. Shut its domain down, or unmount it, and "
                + "try again.");
        }
    }

    private void Forget(VolumeRecord volume)
    {
        var pool = new ThinPool(mapper, registry, volume.Pool);
        string[] devices = [volume.Device, volume.SnapshotDevice, volume.BaseDevice, volume.RestoreDevice];
        Array.ForEach(devices, d => pool.Deactivate(d));
        DeviceLinks.Remove(volume.Device);
        _ = registry.Update(s => s.Discarding(volume.Pool, s.Volume(volume.Name).ThinIds).Without(volume));
        pool.Purge();
    }
}
