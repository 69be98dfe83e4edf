using System.Globalization;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>One application of a policy to a store.</summary>
/// <param name="store">The store.</param>
/// <param name="policy">The policy.</param>
/// <param name="last">The newest epoch that the policy was asked about; what is taken meanwhile is kept.</param>
/// <param name="cancellationToken">Stops between two images or removals.</param>
internal sealed class RetentionRun(
    ICheckpointStore store, RetentionPolicy policy, ulong last, CancellationToken cancellationToken)
{
    // By what part of it the estimate of an image may be wrong, and the manifest's new version.
    private const int EstimateShare = 32;
    private const long ManifestSize = 4 << 10;

    private readonly List<ChainLink> _folded = [];
    private readonly List<ChainLink> _merged = [];
    private readonly List<CheckpointManifest> _removed = [];
    private readonly List<Finding> _problems = [];
    private readonly List<string> _undone = [];

    internal RetentionResult Result => new()
    {
        Folded = _folded,
        Merged = _merged,
        Removed = _removed,
        Problems = [.. _problems.Distinct()],
        Undone = [.. _undone.Distinct()],
    };

    // Octets that may be written; null for as many as one likes. The open epoch has what it needs, and as much again.
    private long? Room => store.FreeBytes is { } free ? free - (policy.LeavesRoom ? 2 * NewestSize() : 0) : null;

    // Room is made while there is still some to make it with.
    private bool IsNarrow => policy.LeavesRoom && store.FreeBytes < 6 * NewestSize();

    /// <summary>Notes what is not done.</summary>
    internal void Leave(string what) => _undone.Add(what);

    /// <summary>Does all that the policy asks for.</summary>
    internal void Apply(HashSet<Guid> kept)
    {
        RemoveUnneeded(kept);
        Release(kept, forced: false);
        ShortenLong(kept);
        RemoveUnneeded(kept);
    }

    private IReadOnlyList<CheckpointManifest> Checkpoints(HashSet<Guid> kept)
    {
        IReadOnlyList<CheckpointManifest> all = store.Checkpoints;
        kept.UnionWith(all.Where(m => m.Epoch > last).Select(m => m.Id));
        return all;
    }

    // Newest first: what builds upon a checkpoint goes before it.
    private bool RemoveUnneeded(HashSet<Guid> kept)
    {
        IReadOnlyList<CheckpointManifest> all = Checkpoints(kept);
        HashSet<Guid> needed = RetentionPlan.Needed(all, kept, null);
        int before = _removed.Count;
        foreach (CheckpointManifest manifest in all.Reverse().Where(m => !needed.Contains(m.Id)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (store.Remove(manifest.Epoch))
            {
                _removed.Add(manifest);
            }
        }

        return _removed.Count > before;
    }

    // Writes anew what builds upon checkpoints that are not kept, where that pays; those that it does not build upon any more go.
    private void Release(HashSet<Guid> kept, bool forced)
    {
        while (true)
        {
            List<Crossing> crossings = Crossings(kept);
            bool narrow = IsNarrow;
            int gain = narrow ? Math.Min(policy.MinGain, 1) : policy.MinGain;
            var plan = new RetentionPlan(Checkpoints(kept), kept, crossings);
            if (crossings.Count == 0 || !(forced || plan.CanPay(gain)))
            {
                return;
            }

            if (!Measure(crossings, kept))
            {
                continue;
            }

            if (plan.Choose(gain, forced) is not { } choice)
            {
                return;
            }

            int before = kept.Count, left = _undone.Count;
            foreach ((Crossing crossing, int images) in choice)
            {
                if (!Write(crossing, images, inSteps: narrow || gain == 0))
                {
                    _ = kept.Add(crossing.Part.ParentId);
                }
            }

            // With what went there may be room for more; and what cannot be written keeps what it builds upon, which is looked
            // at in turn.
            bool removed = RemoveUnneeded(kept);
            if (kept.Count == before && (!removed || (_undone.Count == left && !narrow)))
            {
                return;
            }

            if (removed)
            {
                _undone.RemoveRange(left, _undone.Count - left);
            }

            forced = false;
        }
    }

    // Parts of kept checkpoints that build upon checkpoints that are not.
    private List<Crossing> Crossings(HashSet<Guid> kept)
    {
        var crossings = new List<Crossing>();
        foreach (CheckpointManifest manifest in Checkpoints(kept).Where(m => kept.Contains(m.Id)))
        {
            foreach ((ManifestDomain domain, ManifestPart part) in RetentionPlan.Increments(manifest))
            {
                if (!kept.Contains(part.ParentId) && Links(manifest, domain, part) is { } links)
                {
                    int at = links.Skip(1).TakeWhile(l => !kept.Contains(l.Checkpoint.Id)).Count() + 1;
                    crossings.Add(new Crossing(manifest, domain.Uuid, part, links, at < links.Count ? at : null));
                }
            }
        }

        return crossings;
    }

    // False where one cannot be read, which keeps what it builds upon: that is looked at in turn.
    private bool Measure(List<Crossing> crossings, HashSet<Guid> kept)
    {
        bool all = true;
        foreach (Crossing crossing in crossings)
        {
            if (!Measure(crossing))
            {
                _ = kept.Add(crossing.Part.ParentId);
                all = false;
            }
        }

        return all;
    }

    private bool Measure(Crossing crossing)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Guarded(crossing.Checkpoint, crossing.Part, () =>
        {
            using Chain chain = Chain.Open(
                store, crossing.Checkpoint.Id, crossing.Domain, crossing.Part.Content, crossing.Part.Name);
            crossing.Sizes = chain.Sizes();
        });
    }

    // Merges or folds as many of the newest images of a chain as there is room for. False where an image cannot be read.
    private bool Write(Crossing crossing, int images, bool inSteps)
    {
        cancellationToken.ThrowIfCancellationRequested();
        IReadOnlyList<long> sizes = crossing.Sizes!;
        int fits = images;
        while (fits > 1 && (sizes[fits - 1] == long.MaxValue || Room < WithMargin(sizes[fits - 1])))
        {
            fits = inSteps ? fits - 1 : 1;
        }

        if (fits < images)
        {
            LackRoom(crossing, sizes[images - 1]);
        }

        return fits == 1 || Rewrite(
            crossing.Checkpoint, crossing.Domain, crossing.Part,
            fits < crossing.Links.Count ? crossing.Links[fits].Checkpoint.Id : Guid.Empty);
    }

    private static long WithMargin(long size) => size + (size / EstimateShare) + ManifestSize;

    private void LackRoom(Crossing crossing, long size) => _undone.Add(string.Create(
        CultureInfo.InvariantCulture,
        $"The checkpoints before epoch {crossing.Checkpoint.Epoch} are still there: without them {crossing.Part.Content} "
        + $"{crossing.Part.Name} of domain {crossing.Domain} takes {Mebibytes(size)} anew, and there "
        + $"{(policy.LeavesRoom ? "are, beside what the next checkpoints need," : "are")} {Mebibytes(Math.Max(0, Room ?? 0))}. "
        + $"Make room on the store's file system, or keep fewer checkpoints."));

    private static string Mebibytes(long bytes) => (bytes / 1048576.0).ToString("F1", CultureInfo.InvariantCulture) + " MiB";

    // Chains that are longer than the operator allows.
    private void ShortenLong(HashSet<Guid> kept)
    {
        if (Longest(kept) - 1 > policy.MaxIncrements)
        {
            Release(kept, forced: true);
        }

        foreach (CheckpointManifest manifest in store.Checkpoints.Where(m => kept.Contains(m.Id)))
        {
            foreach ((ManifestDomain domain, ManifestPart part) in RetentionPlan.Increments(manifest))
            {
                if (Links(manifest, domain, part) is { } links && links.Count - 1 > policy.MaxIncrements)
                {
                    var crossing = new Crossing(manifest, domain.Uuid, part, links, null);
                    _ = Measure(crossing) && Write(crossing, links.Count, inSteps: false);
                }
            }
        }
    }

    private int Longest(HashSet<Guid> kept) => store.Checkpoints.Where(m => kept.Contains(m.Id))
        .SelectMany(m => RetentionPlan.Increments(m).Select(p => Links(m, p.Domain, p.Part)?.Count ?? 0))
        .DefaultIfEmpty().Max();

    // Null for broken chains: there is nothing to fold, and nothing below to remove.
    private IReadOnlyList<ChainLink>? Links(CheckpointManifest manifest, ManifestDomain domain, ManifestPart part)
    {
        try
        {
            return Chain.Resolve(store, manifest.Id, domain.Uuid, part.Content, part.Name);
        }
        catch (ChainBrokenException e)
        {
            _problems.Add(new Finding(store.PathOf(manifest.Epoch, part.File), 0, e.Message.TrimEnd('.')));
            return null;
        }
    }

    private bool Rewrite(CheckpointManifest manifest, Guid domain, ManifestPart part, Guid onto) =>
        Guarded(manifest, part, () =>
        {
            if (onto == Guid.Empty)
            {
                _ = Folding.Fold(store, manifest.Id, domain, part.Content, part.Name);
            }
            else
            {
                _ = Folding.Merge(store, manifest.Id, domain, part.Content, part.Name, onto);
            }

            (onto == Guid.Empty ? _folded : _merged).Add(new ChainLink(manifest, part));
        });

    // False where an image cannot be read.
    private bool Guarded(CheckpointManifest manifest, ManifestPart part, Action action)
    {
        string path = store.PathOf(manifest.Epoch, part.File);
        try
        {
            action();
            return true;
        }
        catch (ImageException e)
        {
            _problems.Add(new Finding(e.File, e.Offset, e.Problem));
        }
        catch (Exception e) when (e is ChainBrokenException or FileNotFoundException or DirectoryNotFoundException)
        {
            _problems.Add(new Finding(path, 0, e.Message.TrimEnd('.')));
        }
        catch (IOException e) when (StoreProbe.IsFull(e))
        {
            _undone.Add($"{path} was not written anew: {e.Message.TrimEnd('.')}. Make room on the store's file system.");
            return true;
        }

        return false;
    }

    private long NewestSize() => store.Checkpoints is { Count: > 0 } all ? RetentionPlan.SizeOf(all[^1]) : 0;
}
