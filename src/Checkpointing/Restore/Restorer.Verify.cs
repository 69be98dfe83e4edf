using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Checkpointing.Restore;

/// <content>Whether a checkpoint can be restored, without a hypervisor.</content>
public sealed partial class Restorer
{
    /// <summary>What a restore of a domain would stumble over in what its images say, as a sentence without its full stop; null
    /// where nothing is seen. The images themselves are <see cref="Verifier"/>'s.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domain">The domain.</param>
    public string? Problem(CheckpointManifest checkpoint, ManifestDomain domain)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(domain);
        foreach (ImageContent needed in (ReadOnlySpan<ImageContent>)[ImageContent.Registers, ImageContent.Memory])
        {
            if (checkpoint.Find(domain.Uuid, needed) is null)
            {
                return $"the checkpoint has no {needed} of domain {domain.Uuid}, without which it cannot be restored";
            }
        }

        try
        {
            // The newest image alone says how many pages there are.
            ManifestPart memory = checkpoint.Find(domain.Uuid, ImageContent.Memory)!;
            using var reader = new ImageReader(
                store.OpenRead(checkpoint.Epoch, memory.File), store.PathOf(checkpoint.Epoch, memory.File));
            return RestoreCheck.Problem(
                Request(ReadState(checkpoint.Id, domain.Uuid), domain.Uuid, reader.Header.UnitCount, null));
        }
        catch (Exception e) when (e is InvalidDataException or OverflowException or ArgumentException)
        {
            return e.Message.TrimEnd('.');
        }
        catch (Exception e) when (e is ImageException or ChainBrokenException or IOException)
        {
            // Found with the images.
            return null;
        }
    }

    /// <summary>Reads every octet that a restore will read.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domains">UUIDs of the domains wanted; null for all.</param>
    /// <param name="memory">True for domains; false for their disks alone.</param>
    /// <param name="disks">True for their disks.</param>
    /// <param name="cancellationToken">Stops between two images.</param>
    /// <exception cref="ChainBrokenException">An image is missing.</exception>
    /// <exception cref="ImageException">An image is damaged.</exception>
    /// <exception cref="InvalidDataException">What it says makes no sense; the message says where and what.</exception>
    /// <exception cref="IOException">An image cannot be read.</exception>
    public void Verify(
        CheckpointManifest checkpoint, IReadOnlyCollection<Guid>? domains, bool memory, bool disks,
        CancellationToken cancellationToken = default)
    {
        foreach (ManifestDomain domain in Wanted(checkpoint, domains))
        {
            foreach (ManifestPart part in domain.Parts)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if ((part.Content is ImageContent.BlockDevice or ImageContent.Directory ? disks : memory)
                    && Verifier.VerifyChain(store, checkpoint.Id, domain.Uuid, part.Content, part.Name) is [Finding found, ..])
                {
                    throw new ImageCorruptException(found.File, found.Offset, found.Problem);
                }
            }

            if (memory && Problem(checkpoint, domain) is { } problem)
            {
                throw new InvalidDataException(
                    $"Domain {domain.Name} cannot be restored from checkpoint {checkpoint.Id}: {problem}.");
            }
        }
    }
}
