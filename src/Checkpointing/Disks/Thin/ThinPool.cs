using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>A thin pool: makes, snapshots and deletes thin devices, by messages to the kernel.</summary>
/// <param name="mapper">Device-mapper; stays the caller's.</param>
/// <param name="registry">The host's record.</param>
/// <param name="name">The pool's name.</param>
public sealed class ThinPool(DeviceMapper mapper, DiskRegistry registry, string name)
{
    /// <summary>A reader of metadata takes seconds for a large pool; another one waits up to five minutes.</summary>
    private const int MetadataLockAttempts = 6000;

    /// <summary>How long a device that ought to be closed is waited for: udev's rules look at each new device, and a
    /// backend lets go of a disk some time after its domain went.</summary>
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan ClosePause = TimeSpan.FromMilliseconds(50);

    private PoolRecord Record => registry.Read().Pool(name);

    /// <summary>What the pool says of itself.</summary>
    /// <exception cref="DiskException">The pool's device is not there, or no pool.</exception>
    public PoolStatus Status()
    {
        string device = Record.Device;
        try
        {
            return mapper.Status(device) is [{ } target]
                ? PoolStatus.Parse(target)
                : throw new DiskException($"Device {device} is no thin pool.");
        }
        catch (DeviceMapperException e) when (e.IsMissing)
        {
            throw new DiskException(
                $"Pool {name} is not active. 'xtlctl disk activate' activates what the host has, for instance after it "
                + "was booted.", e);
        }
    }

    /// <summary>Fails where no snapshot could be taken.</summary>
    internal void RequireRoom()
    {
        if (Status().Problem is { } problem)
        {
            throw new DiskException(
                $"Pool {name} cannot take a snapshot: {problem}. Remove volumes or what restores kept of them "
                + "('xtlctl disk remove NAME --kept'), or make the pool's devices larger.");
        }
    }

    /// <summary>Makes an empty thin device.</summary>
    internal void CreateThin(int id) => mapper.Message(Record.Device, $"create_thin {id}");

    /// <summary>A request that makes a snapshot; the origin has to be suspended, or not active.</summary>
    internal DmRequest PrepareSnapshot(int id, int origin) =>
        mapper.PrepareMessage(Record.Device, $"create_snap {id} {origin}");

    /// <summary>Deletes what nobody needs. What cannot be deleted now stays in the record.</summary>
    internal void Purge()
    {
        foreach (int id in Record.Unwanted)
        {
            try
            {
                mapper.Message(Record.Device, $"delete {id}");
            }
            catch (DeviceMapperException e) when (e.IsNoSuchThin)
            {
                // Never made, or deleted before.
            }
            catch (DeviceMapperException)
            {
                continue;
            }

            _ = registry.Update(s => s.With(s.Pool(name) with
            {
                Unwanted = [.. s.Pool(name).Unwanted.Where(u => u != id)],
            }));
        }
    }

    /// <summary>Asks for the ranges that differ between two snapshots. Starts a process.</summary>
    internal IReadOnlyList<ThinRange> Delta(int older, int newer)
    {
        PoolRecord record = Record;
        return WithMetadata(record, metadata => Tool.Run(
            ThinDelta.Package, "thin_delta",
            ["-m", "--snap1", Text(older), "--snap2", Text(newer), metadata],
            output => ThinDelta.Parse(output, older, newer, record.BlockSectors)));
    }

    /// <summary>Asks for the ranges of a snapshot that have blocks at all: what differs from an empty thin device. Starts
    /// a process.</summary>
    internal IReadOnlyList<ThinRange> Mapped(int id)
    {
        int empty = 0;
        _ = registry.Update(s =>
        {
            empty = s.NextThinId(name);
            return s.With(s.Pool(name) with { LastThinId = empty }).Discarding(name, empty);
        });
        try
        {
            CreateThin(empty);
            return Delta(empty, id);
        }
        finally
        {
            Purge();
        }
    }

    /// <summary>Activates a thin device under a name.</summary>
    /// <returns>Its node.</returns>
    internal string Activate(string device, int id, long length, bool readOnly)
    {
        // Left by a process that ended.
        Deactivate(device);
        DmDeviceInfo info = mapper.Create(device, $"XTL-{device}");
        try
        {
            mapper.LoadTable(device, [Table(id, length)], readOnly);
            mapper.Resume(device);
            return info.Node;
        }
        catch
        {
            mapper.Remove(device);
            throw;
        }
    }

    /// <summary>The table of a thin device.</summary>
    internal DmTarget Table(int id, long length) => mapper.Find(Record.Device) is { } pool
        ? new DmTarget(0, length / 512, "thin", $"{pool.Number} {id}")
        : throw new DiskException($"Pool {name} is not active. 'xtlctl disk activate' activates what the host has.");

    /// <summary>Takes a device away, as soon as nobody has it open.</summary>
    /// <param name="device">The device.</param>
    /// <param name="whenClosed">Does not fail where somebody still has it open after ten seconds: the kernel takes it away
    /// when they close it.</param>
    /// <exception cref="DeviceMapperException">EBUSY: somebody has.</exception>
    internal void Deactivate(string device, bool whenClosed = false)
    {
        if (mapper.Find(device) is null)
        {
            return;
        }

        _ = IsClosed(device);
        mapper.Remove(device, whenClosed);
    }

    /// <summary>Waits until nobody has a device open.</summary>
    /// <returns>False where somebody still has after ten seconds.</returns>
    internal bool IsClosed(string device)
    {
        long start = Environment.TickCount64;
        while (mapper.Find(device) is { OpenCount: > 0 })
        {
            if (Environment.TickCount64 - start > CloseTimeout.TotalMilliseconds)
            {
                return false;
            }

            Thread.Sleep(ClosePause);
        }

        return true;
    }

    // A metadata snapshot is a consistent view for a program that reads beside the kernel; a pool has one at a time.
    private T WithMetadata<T>(PoolRecord record, Func<string, T> read)
    {
        using FileStream held = registry.Hold($"metadata-{name}.lock", MetadataLockAttempts);
        if (Status().HasMetadataSnapshot)
        {
            // Left by a process that ended: the lock is ours.
            mapper.Message(record.Device, "release_metadata_snap");
        }

        mapper.Message(record.Device, "reserve_metadata_snap");
        try
        {
            return read(LoopDevice.Find(record.Metadata) ?? record.Metadata);
        }
        finally
        {
            mapper.Message(record.Device, "release_metadata_snap");
        }
    }

    private static string Text(int id) => id.ToString(CultureInfo.InvariantCulture);
}
