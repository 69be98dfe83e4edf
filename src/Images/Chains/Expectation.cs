using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>What the header of a file must say, by the manifest that names it.</summary>
internal static class Expectation
{
    /// <summary>What differs, or null.</summary>
    internal static string? Problem(
        ImageHeader header, CheckpointManifest manifest, Guid domain, ManifestPart part)
    {
        if (header.DomainUuid != domain)
        {
            return $"the image is of domain {header.DomainUuid}, the manifest says {domain}";
        }

        if (header.CheckpointId != manifest.Id || header.Epoch != manifest.Epoch)
        {
            return $"the image is of checkpoint {header.CheckpointId}, the manifest's is {manifest.Id}";
        }

        if (header.Content != part.Content)
        {
            return $"the image holds {header.Content}, the manifest says {part.Content}";
        }

        return header.ParentId == part.ParentId
            ? null
            : $"the image builds upon {header.ParentId}, the manifest says {part.ParentId}";
    }
}
