using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>What a node checkpoint consists of. It exists only where its manifest does.</summary>
public sealed record CheckpointManifest
{
    /// <summary>Stands for the node itself among the domains of images and manifests: the Max UUID (RFC 9562, section 5.10), which
    /// is no domain's.</summary>
    public static Guid NodeId { get; } = new("ffffffff-ffff-ffff-ffff-ffffffffffff");

    /// <summary>The checkpoint's identity; its images carry the same.</summary>
    public required Guid Id { get; init; }

    /// <summary>The epoch that it ended: a number that rises from checkpoint to checkpoint of a store.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>When it was captured, its index k and its label.</summary>
    public required CheckpointClosing Closing { get; init; }

    /// <summary>What came before it in the node's history; null where that follows from <see cref="Closing"/>, as for protocols whose
    /// index rises with checkpoints only.</summary>
    public CheckpointPredecessor? Before { get; init; }

    /// <summary>The node's name.</summary>
    public required string Node { get; init; }

    /// <summary>The domains, in the order of their UUIDs.</summary>
    public required IReadOnlyList<ManifestDomain> Domains { get; init; }

    /// <summary>Domains of the node that are not part of it, in the order in which they were left out.</summary>
    public IReadOnlyList<LeftOutDomain> LeftOut { get; init; } = [];

    /// <summary>The images of the node itself: its channel state, where the checkpoint has no domain whose image could hold it.
    /// </summary>
    public IReadOnlyList<ManifestPart> NodeParts { get; init; } = [];

    /// <summary>The domains, and behind them the node itself where it has images.</summary>
    public IEnumerable<ManifestDomain> Entries =>
        NodeParts.Count == 0 ? Domains : Domains.Append(new ManifestDomain(NodeId, "", NodeParts));

    /// <summary>Finds a part, or null.</summary>
    /// <param name="domain">The domain's UUID, or <see cref="NodeId"/>.</param>
    /// <param name="content">What the part holds.</param>
    /// <param name="name">The disk's name; empty for other parts.</param>
    public ManifestPart? Find(Guid domain, ImageContent content, string name = "") => Entries
        .Where(d => d.Uuid == domain)
        .SelectMany(d => d.Parts)
        .FirstOrDefault(p => p.Content == content && p.Name == name);

    /// <summary>True where an increment names a checkpoint as its parent.</summary>
    internal bool BuildsUpon(Guid checkpoint) =>
        Domains.Any(d => d.Parts.Any(p => p.Kind == ImageKind.Increment && p.ParentId == checkpoint));

    /// <summary>The names of all files.</summary>
    internal IEnumerable<string> Files => Entries.SelectMany(d => d.Parts).Select(p => p.File);
}

/// <summary>What a checkpoint follows, where the node's index also rises without one: the checkpoint before it is the node's member
/// of all lines up to the index that was reached.</summary>
/// <param name="Index">The index of the checkpoint before it; 0 for the initial state.</param>
/// <param name="Reached">The node's index when the checkpoint began: at least that, and less than the checkpoint's own.</param>
public sealed record CheckpointPredecessor(ulong Index, ulong Reached);

/// <summary>A domain's part in a checkpoint.</summary>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">The toolstack's name for the domain; may be empty.</param>
/// <param name="Parts">Its images.</param>
public sealed record ManifestDomain(Guid Uuid, string Name, IReadOnlyList<ManifestPart> Parts);

/// <summary>A domain that was there and is not part of a checkpoint.</summary>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">The toolstack's name for the domain; may be empty.</param>
/// <param name="Reason">Why, as a code of 1 to 32 lower-case letters and hyphens.</param>
/// <param name="Message">Why, as a sentence, with what to do; at most 1,024 characters.</param>
public sealed record LeftOutDomain(Guid Uuid, string Name, string Reason, string Message)
{
    /// <summary>The longest message in characters: a sentence or two, of which a manifest has one for each domain.</summary>
    internal const int MaxMessageLength = 1024;
}

/// <summary>One image of a checkpoint.</summary>
/// <param name="Content">What it holds.</param>
/// <param name="Name">The disk's name; empty for other parts.</param>
/// <param name="ParentId">The checkpoint that an increment builds upon; <see cref="Guid.Empty"/> for a full image.
/// </param>
/// <param name="File">The file's name in the checkpoint's folder.</param>
/// <param name="Length">Bytes of the file.</param>
/// <param name="Digest">SHA-256 of the image's frame (docs/checkpoint-format.md, section 5.7), in lower-case hexadecimal.</param>
public sealed record ManifestPart(
    ImageContent Content, string Name, Guid ParentId, string File, long Length, string Digest)
{
    /// <summary>Whether the image stands alone.</summary>
    public ImageKind Kind => ParentId == Guid.Empty ? ImageKind.Full : ImageKind.Increment;
}
