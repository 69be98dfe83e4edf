using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Devices;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Finds the disks of Xen's domains by their configuration: those on volumes and in directories of
/// this host are part of checkpoints.</summary>
/// <param name="openMapper">Opens device-mapper; called once, for the first domain that has a disk on a volume.</param>
/// <param name="registry">The host's record of its disks.</param>
public sealed class XenDiskProvider(Func<DeviceMapper> openMapper, DiskRegistry registry) : IDiskProvider
{
    private readonly Lazy<DeviceMapper> _mapper = new(openMapper);

    /// <summary>Creates a provider over an open device-mapper.</summary>
    /// <param name="mapper">Device-mapper; stays the caller's.</param>
    /// <param name="registry">The host's record of its disks.</param>
    public XenDiskProvider(DeviceMapper mapper, DiskRegistry registry)
        : this(() => mapper, registry)
    {
    }

    /// <inheritdoc/>
    /// <exception cref="HypervisorException">The configuration makes no sense, or the record of disks is damaged.
    /// </exception>
    public IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        OtherDevices.RequireCovered(configuration, memoryOnly);
        var disks = new List<ICheckpointedDisk>();
        foreach ((XlDisk disk, VolumeRecord volume) in Cover(configuration, registry.Read(), memoryOnly))
        {
            DeviceMapper mapper = _mapper.Value;
            if (mapper.Find(volume.Device) is { IsSuspended: true })
            {
                // By a checkpoint whose process ended: a store has one writer, and that is this process.
                mapper.Resume(volume.Device);
            }

            disks.Add(new ThinDisk(mapper, registry, volume.Name, disk.Vdev));
        }

        foreach ((XenShare share, DirectoryRecord directory) in CoverShares(configuration, registry.Read(), memoryOnly))
        {
            disks.Add(new DirectoryDisk(registry, directory.Name, share.Tag));
        }

        return disks;
    }

    /// <inheritdoc/>
    public string DevicesOf(DomainConfiguration configuration)
    {
        _ = Describe(configuration);
        return XlConfig.DevicesOf(configuration.Toolstack);
    }

    /// <summary>The bridges that a domain has interfaces on.</summary>
    /// <param name="configuration">The domain's configuration.</param>
    /// <exception cref="HypervisorException">It makes no sense.</exception>
    public static IReadOnlyList<string> BridgesOf(DomainConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);

        // Without a name the hotplug script takes the host's first bridge (vif-bridge), whichever that is.
        return [.. Describe(configuration).Nics.Select(n => n.Bridge ?? "")];
    }

    /// <summary>The Ethernet addresses that the toolstack gave to a domain's interfaces.</summary>
    /// <param name="configuration">The domain's configuration.</param>
    /// <returns>Six octets each, the first one uppermost.</returns>
    /// <exception cref="HypervisorException">It makes no sense.</exception>
    public static IReadOnlyList<ulong> AddressesOf(DomainConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return
        [
            .. Describe(configuration).Nics.Select(n => n.Mac?.Replace(":", "", StringComparison.Ordinal)).OfType<string>()
                .Where(m => m.Length == 12)
                .Select(m => ulong.TryParse(m, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong address) ? address : 0)
                .Where(a => a != 0),
        ];
    }

    /// <summary>Finds the volumes behind a domain's writable disks.</summary>
    /// <param name="configuration">The domain's configuration.</param>
    /// <param name="state">The host's disks.</param>
    /// <param name="memoryOnly">Leaves disks out that are on none.</param>
    /// <exception cref="DiskNotCoveredException">A disk is on none.</exception>
    internal static IReadOnlyList<(XlDisk Disk, VolumeRecord Volume)> Cover(
        DomainConfiguration configuration, DiskState state, bool memoryOnly)
    {
        var covered = new List<(XlDisk, VolumeRecord)>();
        foreach (XlDisk disk in WritableDisks(configuration))
        {
            if (VolumeOf(disk, state) is { } volume)
            {
                covered.Add((disk, volume));
            }
            else if (!memoryOnly)
            {
                throw new DiskNotCoveredException(
                    configuration.Name, $"{disk.Vdev} ({disk.PdevPath}{Obstacle(disk, state)})");
            }
        }

        return covered;
    }

    /// <summary>Finds the directories behind what a domain mounts by 9pfs.</summary>
    /// <param name="configuration">The domain's configuration.</param>
    /// <param name="state">The host's disks.</param>
    /// <param name="memoryOnly">Leaves out what is on none.</param>
    /// <exception cref="DiskNotCoveredException">One is on none.</exception>
    internal static IReadOnlyList<(XenShare Share, DirectoryRecord Directory)> CoverShares(
        DomainConfiguration configuration, DiskState state, bool memoryOnly)
    {
        var covered = new List<(XenShare Share, DirectoryRecord Directory)>();
        IReadOnlyList<XenShare> shares = XenShare.Of(configuration);
        foreach (XenShare share in shares)
        {
            DirectoryRecord? directory = state.Directories.FirstOrDefault(d => d.Path == share.Path);
            string obstacle = share.Obstacle(state);
            if (obstacle.Length == 0 && shares.Count(s => s.Tag == share.Tag || s.Path == share.Path) > 1)
            {
                obstacle = ", of which there are two";
            }

            if (directory is not null && obstacle.Length == 0)
            {
                covered.Add((share, directory));
            }
            else if (!memoryOnly)
            {
                throw new DiskNotCoveredException(configuration.Name, $"{share.Tag} (9pfs, {share.Path}{obstacle})");
            }
        }

        return covered;
    }

    /// <summary>The disks that a guest can change.</summary>
    internal static IEnumerable<XlDisk> WritableDisks(DomainConfiguration configuration) =>
        Describe(configuration).Disks.Where(d => d is { IsWritable: true, IsCdrom: false, PdevPath: not null });

    /// <summary>What a domain's configuration says.</summary>
    /// <exception cref="HypervisorException">It makes no sense.</exception>
    internal static XlConfigInfo Describe(DomainConfiguration configuration)
    {
        try
        {
            return XlConfig.Describe(configuration.Toolstack);
        }
        catch (ArgumentException e)
        {
            throw new HypervisorException(
                $"The configuration of domain {configuration.Name} makes no sense: {e.Message}", e);
        }
    }

    /// <summary>The name of the volume that a path is the device of, whether this host has it or not; or null.</summary>
    internal static string? VolumeName(string path)
    {
        const string Prefix = $"/dev/mapper/{VolumeRecord.DevicePrefix}";
        return path.StartsWith(Prefix, StringComparison.Ordinal) && path.Length > Prefix.Length
            ? path[Prefix.Length..]
            : null;
    }

    // With another backend than blkback, or in another domain, data may be in a cache that no snapshot sees.
    private static VolumeRecord? VolumeOf(XlDisk disk, DiskState state) =>
        Obstacle(disk, state).Length == 0 && VolumeName(disk.PdevPath!) is { } name
            ? state.Volumes.FirstOrDefault(v => v.Name == name)
            : null;

    private static string Obstacle(XlDisk disk, DiskState state) => disk switch
    {
        _ when VolumeName(disk.PdevPath!) is not { } name || state.Volumes.All(v => v.Name != name) => "",
        { Backend: not ("phy" or "unknown") } => $", served by {disk.Backend} instead of phy",
        { BackendDomid: not 0 } or { BackendDomname: not null } => ", served by a driver domain",
        { Format: not ("raw" or "unknown") } => $", with an image of format {disk.Format} on it",
        { Script: not null } => $", attached by script {disk.Script}",
        _ => "",
    };
}
