using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <content>Restores.</content>
public sealed partial class ThinVolumes
{
    /// <summary>Makes sure that a volume can be put to another state, as far as its pool is concerned.</summary>
    /// <param name="name">The volume; it need not be there.</param>
    /// <exception cref="DiskException">There is no pool for it, or the pool has no room.</exception>
    public void RequirePlace(string name)
    {
        DiskState state = registry.Read();
        string pool = state.Volumes.FirstOrDefault(v => v.Name == name)?.Pool ?? OnlyPool(state).Name;
        new ThinPool(mapper, registry, pool).RequireRoom();
    }

    /// <summary>Puts a volume to the state that a chain of images has. What it was is kept.</summary>
    /// <param name="name">The volume; made where this host has none of the name.</param>
    /// <param name="chain">The images.</param>
    /// <param name="checkpoint">The checkpoint, for the record.</param>
    /// <exception cref="DiskException">The volume is in use, or the state cannot be written; the volume is as it was.
    /// </exception>
    /// <exception cref="ImageException">An image is damaged; the volume is as it was.</exception>
    public void Put(string name, Chain chain, Guid checkpoint)
    {
        ArgumentNullException.ThrowIfNull(chain);
        bool created = registry.Read().Volumes.All(v => v.Name != name);
        if (created)
        {
            // Another host's volume: it begins with nothing, which is kept like any other state.
            _ = Create(name, null, chain.Header.UnitCount * chain.Header.UnitSize);
        }

        VolumeRecord volume = registry.Read().Volume(name);
        RequireClosed(volume);
        var pool = new ThinPool(mapper, registry, volume.Pool);
        pool.RequireRoom();
        int id = Reserve(volume);
        try
        {
            pool.CreateThin(id);
            long length = Fill(pool, volume, id, chain);

            // From here on the volume is the new one; Activate makes the device follow.
            DiskState state = registry.Update(s =>
            {
                VolumeRecord old = s.Volume(name);
                return WithoutSealed(s, old).With(old with
                {
                    ThinId = id,
                    Length = length,
                    Sealed = null,
                    Pending = null,
                    Restoring = null,
                    Kept = [.. old.Kept, new KeptRecord(old.ThinId, old.Length, DateTimeOffset.UtcNow, checkpoint)],
                });
            });
            try
            {
                Activate(state.Volume(name));
            }
            catch
            {
                TakeBack(name);
                throw;
            }

            pool.Purge();
        }
        catch
        {
            _ = registry.Update(s => s.Volume(name) is { Restoring: { } left } v
                ? s.Discarding(v.Pool, left).With(v with { Restoring = null })
                : s);
            pool.Purge();
            if (created)
            {
                Remove(name);
            }

            throw;
        }
    }

    /// <summary>Gives a volume back what it was before its last restore, and drops what it was restored to.</summary>
    /// <param name="name">The volume.</param>
    /// <exception cref="DiskException">Nothing is kept, or the volume is in use.</exception>
    public void TakeBack(string name)
    {
        VolumeRecord volume = registry.Read().Volume(name);
        RequireClosed(volume);
        DiskState state = registry.Update(s =>
        {
            VolumeRecord now = s.Volume(name);
            KeptRecord kept = now.Kept is [.., { } last]
                ? last
                : throw new DiskException($"Nothing is kept of volume {name}.");
            return WithoutSealed(s, now).Discarding(now.Pool, now.ThinId).With(now with
            {
                ThinId = kept.ThinId,
                Length = kept.Length,
                Sealed = null,
                Pending = null,
                Kept = [.. now.Kept.SkipLast(1)],
            });
        });
        Activate(state.Volume(name));
        new ThinPool(mapper, registry, volume.Pool).Purge();
    }

    // Increments build upon what the volume is; a volume that is something else starts with a full image.
    private static DiskState WithoutSealed(DiskState state, VolumeRecord volume) => state.Discarding(
        volume.Pool,
        [
            .. volume.Sealed is { } s ? [s.ThinId] : Enumerable.Empty<int>(),
            .. volume.Pending is { } p ? [p] : Enumerable.Empty<int>(),
        ]);

    private int Reserve(VolumeRecord volume) => registry.Update(s =>
    {
        VolumeRecord now = s.Volume(volume.Name);
        if (now.Restoring is { } left)
        {
            s = s.Discarding(now.Pool, left);
        }

        int id = s.NextThinId(now.Pool);
        return s.With(s.Pool(now.Pool) with { LastThinId = id }).With(now with { Restoring = id });
    }).Volume(volume.Name).Restoring!.Value;

    // Returns the disk's length.
    private static long Fill(ThinPool pool, VolumeRecord volume, int id, Chain chain)
    {
        long room = chain.Header.UnitCount * chain.Header.UnitSize;
        string node = pool.Activate(volume.RestoreDevice, id, room, readOnly: false);
        try
        {
            using SafeFileHandle device = VolumeData.OpenToWrite(node);
            var filler = new Filler(device, chain.Header.UnitSize);
            chain.Visit(filler);
            RandomAccess.FlushToDisk(device);
            return filler.Disk?.Length ?? throw new DiskException("The image does not say which disk it is of.");
        }
        finally
        {
            pool.Deactivate(volume.RestoreDevice, whenClosed: true);
        }
    }

    // A new thin device reads as zeros: only data is written.
    private sealed class Filler(SafeFileHandle device, int unitSize) : ImageVisitor
    {
        internal DiskInfo? Disk { get; private set; }

        public override void OnDisk(DiskInfo disk) => Disk = disk;

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data) =>
            RandomAccess.Write(device, data, run.First * unitSize);
    }
}
