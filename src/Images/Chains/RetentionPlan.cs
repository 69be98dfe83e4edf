using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>A part of a checkpoint that is kept, which builds upon one that is not.</summary>
/// <param name="Checkpoint">The checkpoint.</param>
/// <param name="Domain">The domain's UUID.</param>
/// <param name="Part">The part.</param>
/// <param name="Links">Its chain, newest first.</param>
/// <param name="KeptAt">Where in the chain the next kept checkpoint is; null where none is.</param>
internal sealed record Crossing(
    CheckpointManifest Checkpoint, Guid Domain, ManifestPart Part, IReadOnlyList<ChainLink> Links, int? KeptAt)
{
    /// <summary>What its images take when merged (<see cref="Chain.Sizes"/>); null where that could not be read.</summary>
    internal IReadOnlyList<long>? Sizes { get; set; }

    /// <summary>Octets that would be written, about and at least. Where one image is upon the full one, only folding is left.
    /// </summary>
    internal long AtLeast => Links.Count == 2
        ? Links[1].Part.Length / 2
        : Links.Take(KeptAt ?? (Links.Count - 1)).Max(l => l.Part.Length);
}

/// <summary>What to write, so that checkpoints can go, and whether that pays.</summary>
internal sealed class RetentionPlan(
    IReadOnlyList<CheckpointManifest> all, HashSet<Guid> kept, IReadOnlyList<Crossing> crossings)
{
    // An increment that takes more than this share of the full image is not worth keeping one beside it.
    private const int MergeShare = 2;

    /// <summary>Octets of a checkpoint's images.</summary>
    internal static long SizeOf(CheckpointManifest manifest) => manifest.Entries.Sum(d => d.Parts.Sum(p => p.Length));

    /// <summary>The increments of a checkpoint.</summary>
    internal static IEnumerable<(ManifestDomain Domain, ManifestPart Part)> Increments(CheckpointManifest manifest) =>
        manifest.Domains.SelectMany(d => d.Parts.Select(p => (Domain: d, Part: p)))
            .Where(p => p.Part.Kind == ImageKind.Increment);

    /// <summary>The kept checkpoints, and all that they build upon, and so on.</summary>
    /// <param name="all">All checkpoints.</param>
    /// <param name="kept">Those kept.</param>
    /// <param name="parents">Parents that parts would have, instead of their own; null for none.</param>
    internal static HashSet<Guid> Needed(
        IReadOnlyList<CheckpointManifest> all, IEnumerable<Guid> kept, Dictionary<ManifestPart, Guid>? parents)
    {
        Dictionary<Guid, CheckpointManifest> byId = all.ToDictionary(m => m.Id);
        var needed = new HashSet<Guid>();
        var open = new Stack<Guid>(kept);
        while (open.TryPop(out Guid id))
        {
            if (byId.TryGetValue(id, out CheckpointManifest? manifest) && needed.Add(id))
            {
                foreach ((_, ManifestPart part) in Increments(manifest))
                {
                    Guid parent = parents?.TryGetValue(part, out Guid other) == true ? other : part.ParentId;
                    if (parent != Guid.Empty)
                    {
                        open.Push(parent);
                    }
                }
            }
        }

        return needed;
    }

    /// <summary>False where nothing that could be written would pay, as far as the lengths of files tell.</summary>
    internal bool CanPay(int gain)
    {
        long freed = all.Where(m => !kept.Contains(m.Id)).Sum(SizeOf) + crossings.Sum(c => c.Part.Length);
        return freed >= gain * crossings.Sum(c => c.AtLeast);
    }

    /// <summary>Chooses the cheapest way that pays.</summary>
    /// <param name="gain">How many times as much it has to free as it writes; 0 to free all.</param>
    /// <param name="forced">True to take the cheapest way that frees something.</param>
    /// <returns>For each part how many of the newest images of its chain become one; null for nothing.</returns>
    internal IReadOnlyList<(Crossing Crossing, int Images)>? Choose(int gain, bool forced)
    {
        IEnumerable<Guid?> bases = [null];
        if (gain > 0)
        {
            bases = bases.Concat(crossings.Where(c => c.KeptAt is null).Select(c => (Guid?)c.Links[^1].Checkpoint.Id).Distinct());
        }

        IReadOnlyList<(Crossing Crossing, int Images)>? best = null;
        long least = long.MaxValue;
        foreach (Guid? stays in bases)
        {
            List<(Crossing Crossing, int Images)> ways = [.. crossings.Select(c => (c, Images(c, stays))).Where(w => w.Item2 > 1)];
            long written = ways.Sum(w => w.Crossing.Sizes![w.Images - 1]);
            long freed = Freed(ways);
            bool pays = forced ? freed > 0 : freed > written && freed / Math.Max(1, gain) >= written;
            if (ways.Count > 0 && (pays || gain == 0) && written < least)
            {
                (best, least) = (ways, written);
            }
        }

        return best;
    }

    // How many images become one, where one base may stay; 1 where the part is as it should be.
    private static int Images(Crossing crossing, Guid? stays)
    {
        int links = crossing.Links.Count;
        int merged = crossing.KeptAt ?? (crossing.Links[^1].Checkpoint.Id == stays ? links - 1 : links);
        return merged < links && crossing.Sizes![merged - 1] < crossing.Sizes[links - 1] / MergeShare ? merged : links;
    }

    private long Freed(List<(Crossing Crossing, int Images)> ways)
    {
        var parents = new Dictionary<ManifestPart, Guid>(ReferenceEqualityComparer.Instance);
        foreach ((Crossing crossing, int images) in ways)
        {
            parents[crossing.Part] = images < crossing.Links.Count ? crossing.Links[images].Checkpoint.Id : Guid.Empty;
        }

        HashSet<Guid> before = Needed(all, kept, null), after = Needed(all, kept, parents);
        return all.Where(m => before.Contains(m.Id) && !after.Contains(m.Id)).Sum(SizeOf)
            + ways.Sum(w => w.Crossing.Part.Length);
    }
}
