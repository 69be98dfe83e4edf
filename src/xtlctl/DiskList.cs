using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Checkpointing.Settings;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Control;

/// <summary>What <c>xtlctl disk list</c> prints.</summary>
/// <param name="mapper">Device-mapper; null on a host without pools and volumes.</param>
/// <param name="registry">The host's record.</param>
internal sealed class DiskList(DeviceMapper? mapper, DiskRegistry registry)
{
    /// <summary>Looks at all disks.</summary>
    internal DisksJson Describe()
    {
        DiskState state = registry.Read();
        return new DisksJson(
            [.. state.Pools.OrderBy(p => p.Name, StringComparer.Ordinal).Select(Describe)],
            [.. state.Volumes.OrderBy(v => v.Name, StringComparer.Ordinal).Select(Describe)],
            [.. state.Directories.OrderBy(d => d.Name, StringComparer.Ordinal).Select(Describe)]);
    }

    /// <summary>Prints three tables.</summary>
    internal void Print(TextWriter output)
    {
        DisksJson disks = Describe();
        var pools = new TextTable("POOL", "STATE", "USED", "SIZE", "BLOCK", "METADATA %", "DATA");
        foreach (PoolJson p in disks.Pools)
        {
            pools.Add(
                p.Name, p.State, Size(p.UsedBytes), Size(p.TotalBytes), Size(p.BlockBytes),
                p.MetadataUsedPercent?.ToString("F1", CultureInfo.InvariantCulture) ?? "-", p.Data);
        }

        pools.Write(output);
        output.WriteLine();
        var volumes = new TextTable("VOLUME", "STATE", "USED", "SIZE", "POOL", "CHECKPOINT", "DEVICE");
        foreach (VolumeJson v in disks.Volumes)
        {
            volumes.Add(
                v.Name, v.State, Size(v.UsedBytes), Size(v.Bytes), v.Pool,
                v.Checkpoint is { } checkpoint ? $"{checkpoint}"[..8] : "-", v.Path);
            foreach (KeptJson k in v.Kept)
            {
                volumes.Add(
                    $"  {v.Name}", "kept", "-", Size(k.Bytes), v.Pool, $"{k.RestoredTo}"[..8],
                    $"until restored at {k.Since.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z");
            }
        }

        volumes.Write(output);
        output.WriteLine();
        var directories = new TextTable("DIRECTORY", "STATE", "LAYERS", "CHECKPOINT", "PATH");
        foreach (DirectoryJson d in disks.Directories)
        {
            directories.Add(
                d.Name, d.State, d.Layers.ToString(CultureInfo.InvariantCulture),
                d.Checkpoint is { } checkpoint ? $"{checkpoint}"[..8] : "-", d.Path);
            foreach (KeptDirectoryJson k in d.Kept)
            {
                directories.Add(
                    $"  {d.Name}", "kept", k.Layers.ToString(CultureInfo.InvariantCulture), $"{k.RestoredTo}"[..8],
                    $"until restored at {k.Since.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z");
            }
        }

        directories.Write(output);
    }

    private static string Size(long? bytes) => bytes is { } known ? Sizes.Text(known) : "-";

    private PoolJson Describe(PoolRecord pool)
    {
        try
        {
            PoolStatus status = new ThinPool(mapper!, registry, pool.Name).Status();
            return new PoolJson(
                pool.Name, pool.Data, pool.Metadata, pool.BlockSize, status.Mode, status.UsedData * pool.BlockSize,
                status.TotalData * pool.BlockSize,
                Math.Round(100.0 * status.UsedMetadata / Math.Max(1, status.TotalMetadata), 1));
        }
        catch (DiskException)
        {
            return new PoolJson(pool.Name, pool.Data, pool.Metadata, pool.BlockSize, "inactive", null, null, null);
        }
    }

    private VolumeJson Describe(VolumeRecord volume)
    {
        (string state, long? used) = new ThinVolumes(mapper!, registry).StateOf(volume);
        return new VolumeJson(
            volume.Name, volume.Path, volume.Pool, volume.Length, state, used, volume.Sealed?.Checkpoint,
            [.. volume.Kept.Select(k => new KeptJson(k.Since, k.Length, k.RestoredTo))]);
    }

    private static DirectoryJson Describe(DirectoryRecord directory) => new(
        directory.Name, directory.Path, OverlayDirectories.StateOf(directory), directory.Layers.Count + 1,
        directory.Sealed?.Checkpoint,
        [.. directory.Kept.Select(k => new KeptDirectoryJson(k.Since, k.Layers.Count + 1, k.RestoredTo))]);
}
