using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Devices;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Puts the volumes and directories of Xen's domains to the state that a checkpoint has of them.</summary>
/// <param name="openMapper">Opens device-mapper; called once, for the first volume.</param>
/// <param name="registry">The host's record of its disks.</param>
/// <param name="store">Where the images are.</param>
/// <remarks>Thread-safe for different domains. The first checkpoint after a restore has full images of disks: what
/// increments had built upon belongs to the state that was put aside.</remarks>
public sealed class XenDiskRestorer(Func<DeviceMapper> openMapper, DiskRegistry registry, ICheckpointStore store)
    : IDiskRestorer
{
    private readonly Dictionary<Guid, List<Action>> _put = [];
    private readonly OverlayDirectories _directories = new(registry);
    private readonly Lazy<ThinVolumes> _volumes = new(() => new ThinVolumes(openMapper(), registry));

    /// <summary>Creates a restorer over an open device-mapper.</summary>
    /// <param name="mapper">Device-mapper; stays the caller's.</param>
    /// <param name="registry">The host's record of its disks.</param>
    /// <param name="store">Where the images are.</param>
    public XenDiskRestorer(DeviceMapper mapper, DiskRegistry registry, ICheckpointStore store)
        : this(() => mapper, registry, store)
    {
    }

    /// <inheritdoc/>
    public string? FindObstacle(CheckpointManifest checkpoint, ManifestDomain domain)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(domain);
        if (!domain.Parts.Any(p => p.Content is ImageContent.BlockDevice or ImageContent.Directory))
        {
            return null;
        }

        DomainConfiguration configuration = new Restorer(store).ReadState(checkpoint.Id, domain.Uuid).Configuration;
        try
        {
            foreach (ManifestPart part in domain.Parts)
            {
                if (part.Content == ImageContent.BlockDevice)
                {
                    _volumes.Value.RequirePlace(VolumeFor(configuration, domain, part.Name));
                }
                else if (part.Content == ImageContent.Directory)
                {
                    _directories.RequirePlace(RootFor(configuration, domain, part.Name));
                }
            }

            return null;
        }
        catch (DiskException e)
        {
            return $"The disks of domain {domain.Name} cannot be put here: {e.Message}";
        }
    }

    /// <inheritdoc/>
    public void Put(CheckpointManifest checkpoint, ManifestDomain domain)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(domain);
        var done = new List<Action>();
        lock (_put)
        {
            _put[domain.Uuid] = done;
        }

        List<ManifestPart> parts = [
            .. domain.Parts.Where(p => p.Content is ImageContent.BlockDevice or ImageContent.Directory)];
        if (parts.Count == 0)
        {
            return;
        }

        SavedState state = new Restorer(store).ReadState(checkpoint.Id, domain.Uuid);
        try
        {
            foreach (ManifestPart part in parts)
            {
                using Chain chain = Chain.Open(store, checkpoint.Id, domain.Uuid, part.Content, part.Name);
                if (part.Content == ImageContent.Directory)
                {
                    string directory = DirectoryFor(state.Configuration, domain, part.Name);
                    _directories.Put(directory, chain, checkpoint.Id);
                    done.Add(() => _directories.TakeBack(directory));
                    continue;
                }

                string volume = VolumeFor(state.Configuration, domain, part.Name);
                _volumes.Value.Put(volume, chain, checkpoint.Id);
                done.Add(() => _volumes.Value.TakeBack(volume));
            }
        }
        catch (Exception e) when (e is IOException or ImageException or ChainBrokenException)
        {
            Undo(domain);
            throw new HypervisorException(
                $"The disks of domain {domain.Name} could not be put to checkpoint {checkpoint.Id}: {e.Message}", e);
        }
        catch
        {
            Undo(domain);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Attached(CheckpointManifest checkpoint, ManifestDomain domain, IDomain restored)
    {
        // The toolstack attached the volumes when it made the domain.
    }

    /// <inheritdoc/>
    public void Undo(ManifestDomain domain)
    {
        ArgumentNullException.ThrowIfNull(domain);
        List<Action>? done;
        lock (_put)
        {
            _ = _put.Remove(domain.Uuid, out done);
        }

        for (int i = (done?.Count ?? 0) - 1; i >= 0; i--)
        {
            done![i]();
        }
    }

    // Another host's directory is made where the domain's configuration looks for it.
    private string DirectoryFor(DomainConfiguration configuration, ManifestDomain domain, string tag)
    {
        string root = RootFor(configuration, domain, tag);
        return (registry.Read().Directories.FirstOrDefault(d => d.Root == root)
            ?? _directories.Create(Path.GetFileName(root), root)).Name;
    }

    private static string RootFor(DomainConfiguration configuration, ManifestDomain domain, string tag)
    {
        const string Tail = $"/{DirectoryRecord.ExportPath}";
        if (XenShare.Of(configuration).FirstOrDefault(s => s.Tag == tag)?.Path is not { } path
            || !path.EndsWith(Tail, StringComparison.Ordinal))
        {
            throw new DiskException(
                $"The checkpoint has directory {tag} of domain {domain.Name}, and the domain's configuration names no "
                + "directory of this software for it.");
        }

        return path[..^Tail.Length];
    }

    private static string VolumeFor(DomainConfiguration configuration, ManifestDomain domain, string vdev)
    {
        XlDisk? disk = XenDiskProvider.WritableDisks(configuration).FirstOrDefault(d => d.Vdev == vdev);
        return disk?.PdevPath is { } path && XenDiskProvider.VolumeName(path) is { } name
            ? name
            : throw new DiskException(
                $"The checkpoint has disk {vdev} of domain {domain.Name}, and the domain's configuration names no volume "
                + "for it.");
    }
}
