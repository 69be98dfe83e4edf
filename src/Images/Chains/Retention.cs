using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Which checkpoints a store keeps. The newest is kept in any case.</summary>
public sealed record RetentionPolicy
{
    /// <summary>How many of the newest checkpoints are kept, at least 1.</summary>
    public int KeepCount { get; init; } = 16;

    /// <summary>Checkpoints captured longer ago are not kept, however few there are; null for any age.</summary>
    public TimeSpan? KeepFor { get; init; }

    /// <summary>How many increments a restore reads at most, at least 0; a longer chain is folded.</summary>
    /// <remarks>8: a fold costs reading and writing a full image, so it is done for every ninth checkpoint, and a
    /// restore reads at most nine images.</remarks>
    public int MaxIncrements { get; init; } = 8;
}

/// <summary>What <see cref="Retention.Apply"/> did.</summary>
/// <param name="Folded">Parts that were folded, with their checkpoints.</param>
/// <param name="Removed">Checkpoints that were removed.</param>
/// <param name="Problems">Images that could not be folded; the checkpoints below them are kept.</param>
public sealed record RetentionResult(
    IReadOnlyList<ChainLink> Folded, IReadOnlyList<CheckpointManifest> Removed, IReadOnlyList<Finding> Problems);

/// <summary>Removes old checkpoints, and folds what builds upon them before.</summary>
public static class Retention
{
    /// <summary>Applies a policy.</summary>
    /// <param name="store">The store.</param>
    /// <param name="policy">What to keep.</param>
    /// <param name="now">The time that ages are counted to.</param>
    /// <param name="keep">Says of a checkpoint that it is needed whatever the policy says, such as the line that a
    /// recovery would go back to.</param>
    /// <param name="cancellationToken">Stops between two folds or removals; the store is whole then.</param>
    /// <remarks>What an open epoch builds upon is not removed; the next time, it may be. At every moment, also of a
    /// crash, every checkpoint in the store has all that it builds upon.</remarks>
    /// <exception cref="IOException">The store could not be read or written.</exception>
    public static RetentionResult Apply(
        ICheckpointStore store, RetentionPolicy policy, DateTimeOffset now,
        Func<CheckpointManifest, bool>? keep = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentOutOfRangeException.ThrowIfLessThan(policy.KeepCount, 1, nameof(policy));
        ArgumentOutOfRangeException.ThrowIfNegative(policy.MaxIncrements, nameof(policy));
        var run = new Run(store, cancellationToken);
        IReadOnlyList<CheckpointManifest> all = store.Checkpoints;
        HashSet<Guid> kept = Select(all, policy, now, keep);
        run.FoldAcross(kept);
        run.FoldLong(kept, policy.MaxIncrements);

        // Newest first: what builds upon a checkpoint goes before it.
        foreach (CheckpointManifest manifest in all.Reverse().Where(m => !kept.Contains(m.Id)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (store.Remove(manifest.Epoch))
            {
                run.Removed.Add(manifest);
            }
        }

        return new RetentionResult(run.Folded, run.Removed, [.. run.Problems.Distinct()]);
    }

    private static HashSet<Guid> Select(
        IReadOnlyList<CheckpointManifest> all, RetentionPolicy policy, DateTimeOffset now,
        Func<CheckpointManifest, bool>? keep)
    {
        var kept = new HashSet<Guid>();
        for (int i = 0; i < all.Count; i++)
        {
            int newer = all.Count - 1 - i;
            bool young = policy.KeepFor is not { } age || now - all[i].Closing.Captured <= age;
            if (newer == 0 || (newer < policy.KeepCount && young) || keep?.Invoke(all[i]) == true)
            {
                _ = kept.Add(all[i].Id);
            }
        }

        return kept;
    }

    private sealed class Run(ICheckpointStore store, CancellationToken cancellationToken)
    {
        internal List<ChainLink> Folded { get; } = [];

        internal List<CheckpointManifest> Removed { get; } = [];

        internal List<Finding> Problems { get; } = [];

        /// <summary>Folds increments whose parents go. A parent that cannot be folded away stays, and then what it
        /// builds upon is looked at in turn.</summary>
        internal void FoldAcross(HashSet<Guid> kept)
        {
            bool grown;
            do
            {
                grown = false;
                foreach (CheckpointManifest manifest in store.Checkpoints.Where(m => kept.Contains(m.Id)))
                {
                    foreach ((ManifestDomain domain, ManifestPart part) in Increments(manifest))
                    {
                        if (!kept.Contains(part.ParentId) && !TryFold(manifest, domain, part)
                            && store.Checkpoints.Any(m => m.Id == part.ParentId))
                        {
                            _ = kept.Add(part.ParentId);
                            grown = true;
                        }
                    }
                }
            }
            while (grown);
        }

        /// <summary>Folds increments that end chains which are too long.</summary>
        internal void FoldLong(HashSet<Guid> kept, int maxIncrements)
        {
            foreach (CheckpointManifest manifest in store.Checkpoints.Where(m => kept.Contains(m.Id)))
            {
                foreach ((ManifestDomain domain, ManifestPart part) in Increments(manifest))
                {
                    if (LengthOf(manifest, domain, part) - 1 > maxIncrements)
                    {
                        _ = TryFold(manifest, domain, part);
                    }
                }
            }
        }

        private static IEnumerable<(ManifestDomain Domain, ManifestPart Part)> Increments(
            CheckpointManifest manifest) =>
            manifest.Domains.SelectMany(d => d.Parts.Select(p => (Domain: d, Part: p)))
                .Where(p => p.Part.Kind == ImageKind.Increment);

        // Broken chains count as short: there is nothing to fold.
        private int LengthOf(CheckpointManifest manifest, ManifestDomain domain, ManifestPart part)
        {
            try
            {
                return Chain.Resolve(store, manifest.Id, domain.Uuid, part.Content, part.Name).Count;
            }
            catch (ChainBrokenException)
            {
                return 0;
            }
        }

        private bool TryFold(CheckpointManifest manifest, ManifestDomain domain, ManifestPart part)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string path = store.PathOf(manifest.Epoch, part.File);
            try
            {
                _ = Folding.Fold(store, manifest.Id, domain.Uuid, part.Content, part.Name);
                Folded.Add(new ChainLink(manifest, part));
                return true;
            }
            catch (ImageException e)
            {
                Problems.Add(new Finding(e.File, e.Offset, e.Problem));
            }
            catch (ChainBrokenException e)
            {
                Problems.Add(new Finding(path, 0, e.Message.TrimEnd('.')));
            }
            catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
            {
                Problems.Add(new Finding(path, 0, e.Message.TrimEnd('.')));
            }

            return false;
        }
    }
}
