namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A checkpoint of a store, with those of its images that are whole.</summary>
public sealed class Checkpoint
{
    private const string Section = "7";

    private Checkpoint(Manifest manifest, IReadOnlyList<CheckpointPart> parts)
    {
        Manifest = manifest;
        Parts = parts;
    }

    /// <summary>The manifest.</summary>
    public Manifest Manifest { get; }

    /// <summary>The parts of all domains whose images are whole, in the order of the manifest.</summary>
    public IReadOnlyList<CheckpointPart> Parts { get; }

    /// <summary>The part with this domain, content and disk name, or null.</summary>
    public CheckpointPart? Find(Guid domain, ImageContent content, string diskName) =>
        Parts.FirstOrDefault(part => part.Domain == domain && part.Part.Content == content && part.Part.Name == diskName);

    // What is wrong with an image goes to damage, and keeps nobody from the others.
    internal static Checkpoint Read(string directory, List<FormatViolationException> damage)
    {
        string path = Path.Combine(directory, "manifest.json");
        Rule.Require(File.Exists(path), "9", $"a checkpoint has its manifest ({directory})");
        Manifest manifest = Manifest.Read(path);
        List<CheckpointPart> parts = [];
        foreach (ManifestDomain domain in manifest.Domains)
        {
            foreach (ManifestPart part in domain.Parts)
            {
                try
                {
                    parts.Add(ReadPart(directory, manifest, domain, part));
                }
                catch (FormatViolationException e)
                {
                    damage.Add(e);
                }
            }
        }

        return new Checkpoint(manifest, parts);
    }

    private static CheckpointPart ReadPart(string directory, Manifest manifest, ManifestDomain domain, ManifestPart part)
    {
        string path = Path.Combine(directory, part.File);
        CheckFile(path, part);
        ImageFile image = ImageFile.Read(path);
        Rule.Require(image.Digest == part.Digest, Section, $"the image {part.File} has the manifest's digest");
        CheckFields(manifest, domain, part, image);
        return new CheckpointPart(domain.Uuid, part, path, image.Header, image.End, image.Disk);
    }

    private static void CheckFile(string path, ManifestPart part)
    {
        FileInfo file = new(path);
        Rule.Require(file.Exists, Section, $"the image {part.File} is there");
        Rule.Require((ulong)file.Length == part.Length, Section, $"the image {part.File} has the manifest's length");
    }

    private static void CheckFields(Manifest manifest, ManifestDomain domain, ManifestPart part, ImageFile image)
    {
        Require(image.Header.Domain == domain.Uuid, "domain");
        Require(image.Header.Checkpoint == manifest.Id, "checkpoint id");
        Require(image.Header.Parent == part.Parent, "parent");
        Require(image.Header.Kind == part.Kind, "kind");
        Require(image.Header.Epoch == manifest.Epoch, "epoch");
        Require(image.Header.Content == part.Content, "content");
        Require((image.Disk?.Name ?? "") == part.Name, "name");
        Require(image.End.Index == manifest.Index, "index");
        Require(image.End.Captured == manifest.Captured, "captured time");
        Require(image.End.Label == manifest.Label, "label");

        void Require(bool same, string field) =>
            Rule.Require(same, Section, $"the image {part.File} has the manifest's {field}");
    }
}

/// <summary>An image of a checkpoint, without its records.</summary>
/// <param name="Domain">The domain's UUID.</param>
/// <param name="Part">What the manifest says of the image.</param>
/// <param name="Path">The path of the file.</param>
/// <param name="Header">The header of the image.</param>
/// <param name="End">The fields of its END.</param>
/// <param name="Disk">Its disk, in the contents block device and directory.</param>
public sealed record CheckpointPart(Guid Domain, ManifestPart Part, string Path, ImageHeader Header, ImageEnd End, Disk? Disk);
