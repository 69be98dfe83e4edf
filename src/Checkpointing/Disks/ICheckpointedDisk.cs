using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Finds the disks of a domain that have to be part of its checkpoints.</summary>
public interface IDiskProvider
{
    /// <summary>Opens the writable disks of a domain.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="configuration">Its configuration.</param>
    /// <param name="memoryOnly">Leaves disks out that cannot be checkpointed.</param>
    /// <returns>The disks, which the caller disposes.</returns>
    /// <exception cref="DiskNotCoveredException">A writable disk cannot be checkpointed, and must not be left out.
    /// </exception>
    IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly);

    /// <summary>The devices that a configuration has, as text: the same text for the same devices.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <exception cref="HypervisorException">The configuration makes no sense.</exception>
    string DevicesOf(DomainConfiguration configuration) => ModelHypervisor.DevicesOf(configuration);
}

/// <summary>A disk whose changes from checkpoint to checkpoint can be told.</summary>
/// <remarks>In the order of its methods: <see cref="Prepare"/>, the domain suspends, <see cref="Seal"/>, it goes on,
/// <see cref="Write"/>, and <see cref="Keep"/> once the checkpoint is in the store; or <see cref="Abandon"/> at any
/// point.</remarks>
public interface ICheckpointedDisk : IDisposable
{
    /// <summary>The disk's name in the guest, such as <c>xvda</c>.</summary>
    string Name { get; }

    /// <summary>What the disk's images hold.</summary>
    ImageContent Content { get; }

    /// <summary>The disk.</summary>
    DiskInfo Info { get; }

    /// <summary>Bytes of a block; 0 for a directory.</summary>
    int BlockSize { get; }

    /// <summary>Does what can be done before the domain is suspended.</summary>
    /// <param name="checkpoint">The identity that the checkpoint will have.</param>
    void Prepare(Guid checkpoint);

    /// <summary>Seals the present state, with the domain suspended: later writes go elsewhere. Does nothing that can
    /// be done before or afterwards.</summary>
    void Seal();

    /// <summary>Writes the sealed state, or what changed in it since a checkpoint.</summary>
    /// <param name="writer">Receives it; its DISK record is written already.</param>
    /// <param name="since">The checkpoint to build upon; <see cref="Guid.Empty"/> for a full image.</param>
    void Write(ImageWriter writer, Guid since);

    /// <summary>True where the sealed state of a checkpoint is still there, so that an increment can build upon it.
    /// </summary>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    bool CanBuildUpon(Guid checkpoint);

    /// <summary>The checkpoint is in the store: its sealed state is what the next increment builds upon.</summary>
    void Keep();

    /// <summary>The checkpoint did not come about: the sealed state is not needed.</summary>
    void Abandon();
}

/// <summary>Puts disks to the state that a checkpoint has of them.</summary>
public interface IDiskRestorer
{
    /// <summary>What is in the way of <see cref="Put"/>, as a sentence; null where nothing is seen. Changes nothing.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domain">The domain's parts in it.</param>
    /// <exception cref="ImageException">An image is damaged.</exception>
    string? FindObstacle(CheckpointManifest checkpoint, ManifestDomain domain);

    /// <summary>Called before a domain is made. What the disks hold now is kept aside.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domain">The domain's parts in it.</param>
    /// <exception cref="HypervisorException">A disk cannot be put to that state; nothing has changed.</exception>
    void Put(CheckpointManifest checkpoint, ManifestDomain domain);

    /// <summary>Called when a domain is there, paused.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domain">The domain's parts in it.</param>
    /// <param name="restored">The domain.</param>
    void Attached(CheckpointManifest checkpoint, ManifestDomain domain, IDomain restored);

    /// <summary>Undoes <see cref="Put"/>: the domain could not be restored.</summary>
    /// <param name="domain">The domain's parts.</param>
    void Undo(ManifestDomain domain);
}

/// <summary>A domain has a writable disk that cannot be checkpointed.</summary>
public sealed class DiskNotCoveredException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name.</param>
    /// <param name="disk">The disk, as the toolstack names it.</param>
    public DiskNotCoveredException(string domain, string disk)
        : base(
            $"Disk {disk} of domain {domain} is writable and lies neither on a dm-thin volume nor in an overlayfs "
            + "directory of this software, so a checkpoint could not hold it. 'xtlctl disk adopt' takes a disk over; "
            + "'--memory-only' leaves it out, and a restore then needs the disk as it was.")
    {
    }
}

/// <summary>For nodes whose guests' disks are not looked at.</summary>
public sealed class NoDisks : IDiskProvider
{
    /// <inheritdoc/>
    public IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly) =>
        [];
}
