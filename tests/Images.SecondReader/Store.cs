using System.Globalization;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A store in a directory (section 9).</summary>
public sealed class Store
{
    private const int EpochDigits = 20;

    private readonly Dictionary<Guid, Checkpoint> _byId = [];

    private readonly List<FormatViolationException> _damage;

    private Store(List<Checkpoint> checkpoints, List<FormatViolationException> damage)
    {
        _damage = damage;
        // Epochs are unique by the names of their directories.
        foreach (IGrouping<Guid, Checkpoint> same in checkpoints.GroupBy(checkpoint => checkpoint.Manifest.Id))
        {
            if (same.Count() == 1)
            {
                _byId.Add(same.Key, same.Single());
            }
            else
            {
                damage.Add(new FormatViolationException("7", $"an id is that of one manifest of the store ({same.Key})"));
            }
        }

        Checkpoints = [.. _byId.Values.OrderBy(checkpoint => checkpoint.Manifest.Epoch)];
    }

    /// <summary>The checkpoints, with the lowest epoch first.</summary>
    public IReadOnlyList<Checkpoint> Checkpoints { get; }

    /// <summary>What is wrong with manifests and images. Their checkpoints and parts are left out.</summary>
    public IReadOnlyList<FormatViolationException> Damage => _damage;

    /// <summary>Reads and checks every checkpoint of the store in <paramref name="directory"/>.</summary>
    /// <remarks>What has another name than a checkpoint that was committed is no part of the store's state.</remarks>
    public static Store Read(string directory)
    {
        List<Checkpoint> checkpoints = [];
        List<FormatViolationException> damage = [];
        foreach (string path in Directory.EnumerateDirectories(directory))
        {
            string name = Path.GetFileName(path);
            if (name.Length != EpochDigits || !ulong.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out ulong epoch))
            {
                continue;
            }

            try
            {
                Checkpoint checkpoint = Checkpoint.Read(path, damage);
                Rule.Require(checkpoint.Manifest.Epoch == epoch, "9", "the name of a checkpoint's directory is its epoch");
                checkpoints.Add(checkpoint);
            }
            catch (FormatViolationException e)
            {
                damage.Add(e);
            }
        }

        return new Store(checkpoints, damage);
    }

    /// <summary>The state of a part at a checkpoint of this store (section 6).</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="domain">The domain's UUID.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="diskName">The disk's name; empty for contents without a disk.</param>
    /// <exception cref="FormatViolationException">The chain breaks a rule of the format, or the part is missing.</exception>
    public PartState State(Checkpoint checkpoint, Guid domain, ImageContent content, string diskName)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        PartState state = new();
        foreach (CheckpointPart part in Chain(checkpoint, domain, content, diskName))
        {
            state.Apply(ImageFile.Read(part.Path));
        }

        return state;
    }

    /// <summary>The channel state of the node as a whole (section 12); null where the checkpoint has none.</summary>
    /// <param name="checkpoint">A checkpoint of this store.</param>
    /// <exception cref="FormatViolationException">
    /// The blob is in the image of another domain than the least, or the image that may have it is missing or damaged.
    /// </exception>
    public static byte[]? NodeChannels(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        byte[]? state = null;
        // The order of UUIDs is that of their octets, which that of their text is, too.
        foreach ((int rank, ManifestDomain domain) in checkpoint.Manifest.Domains
            .OrderBy(domain => domain.Uuid.ToString("D"), StringComparer.Ordinal).Index())
        {
            if (!domain.Parts.Any(part => part.Content == ImageContent.Channels))
            {
                continue;
            }

            CheckpointPart? part = checkpoint.Find(domain.Uuid, ImageContent.Channels, "");
            Rule.Require(part is not null || rank > 0, "12", "the channels of the least domain are whole");
            Blob? blob = part is null ? null : ImageFile.Read(part.Path).Blobs.FirstOrDefault(blob => blob.Name == "node-channels");
            Rule.Require(blob is null || rank == 0, "12", "node-channels is in the image of the least domain");
            state ??= blob?.ToArray();
        }

        return state;
    }

    // The images that make up the state, with the full one on top.
    private Stack<CheckpointPart> Chain(Checkpoint checkpoint, Guid domain, ImageContent content, string diskName)
    {
        Stack<CheckpointPart> chain = new();
        for (Checkpoint at = checkpoint; ;)
        {
            CheckpointPart? part = at.Find(domain, content, diskName);
            Rule.Require(part is not null, "6", $"the checkpoint {at.Manifest.Id} has the part");
            if (chain.TryPeek(out CheckpointPart? child))
            {
                Rule.Require(part.Header.Epoch < child.Header.Epoch, "6", "the parent's epoch is lower");
                Rule.Require(part.Header.UnitSize == child.Header.UnitSize, "6", "the unit size is the same along a chain");
            }

            chain.Push(part);
            if (part.Header.Kind == ImageKind.Full)
            {
                return chain;
            }

            Rule.Require(
                _byId.TryGetValue(part.Header.Parent, out Checkpoint? parent), "6", "the parent of an increment is there");
            at = parent;
        }
    }
}
