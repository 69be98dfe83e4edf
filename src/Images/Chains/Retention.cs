using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Which checkpoints a store keeps. The newest is kept in any case.</summary>
public sealed record RetentionPolicy
{
    /// <summary>How many of the newest checkpoints are kept, at least 1.</summary>
    public int KeepCount { get; init; } = 16;

    /// <summary>Checkpoints captured longer ago are not kept, however few there are; null for any age. What of a time between
    /// two checkpoints is believed, <see cref="CheckpointAges"/> says.</summary>
    public TimeSpan? KeepFor { get; init; }

    /// <summary>How many increments a restore reads at most, at least 0; a longer chain is shortened, whatever it costs.</summary>
    /// <remarks>512: a restore holds all images of a chain open, and a process has 1024 files where nobody set more. It is
    /// reached by guests that write less than a hundredth of their memory between two checkpoints, and always other pages.
    /// </remarks>
    public int MaxIncrements { get; init; } = 512;

    /// <summary>Checkpoints that are not kept, and that others build upon, go when that frees at least this many times as much as
    /// has to be written for it; until then they stay. 0: at once, whatever it costs.</summary>
    /// <remarks>5: of each octet that is written, the fifth part may be written once more when it goes, of that again, and so on:
    /// a quarter more in all than the checkpoints themselves. In return the store has up to five times a full image of each
    /// domain beside the kept checkpoints, and a restore reads that much.</remarks>
    public int MinGain { get; init; } = 5;

    /// <summary>True where checkpoints are taken meanwhile: as much room is left to them as two of the newest take.</summary>
    public bool LeavesRoom { get; init; } = true;
}

/// <summary>What <see cref="Retention.Apply"/> did.</summary>
public sealed record RetentionResult
{
    /// <summary>Parts that became full images, with their checkpoints.</summary>
    public required IReadOnlyList<ChainLink> Folded { get; init; }

    /// <summary>Parts that became increments upon older checkpoints, with their checkpoints.</summary>
    public required IReadOnlyList<ChainLink> Merged { get; init; }

    /// <summary>Checkpoints that were removed.</summary>
    public required IReadOnlyList<CheckpointManifest> Removed { get; init; }

    /// <summary>Images that could not be read; the checkpoints below them are kept.</summary>
    public required IReadOnlyList<Finding> Problems { get; init; }

    /// <summary>What was not done for want of room, or because of a clock that is not believed, and what to do: sentences.
    /// </summary>
    public required IReadOnlyList<string> Undone { get; init; }
}

/// <summary>Removes old checkpoints, lazily: one that others build upon stays until it pays to write those anew.</summary>
public static class Retention
{
    /// <summary>Applies a policy.</summary>
    /// <param name="store">The store.</param>
    /// <param name="policy">What to keep.</param>
    /// <param name="now">The time that ages are counted to.</param>
    /// <param name="keep">Says of a checkpoint that it is needed whatever the policy says, such as the line that a
    /// recovery would go back to.</param>
    /// <param name="cancellationToken">Stops between two images that are written, or removals; the store is whole then.</param>
    /// <remarks>What an open epoch builds upon is not removed; the next time, it may be. At every moment, also of a
    /// crash, every checkpoint in the store has all that it builds upon. In a store that is full, what can be removed goes, and
    /// images are merged as far as there is room.</remarks>
    /// <exception cref="IOException">The store could not be read or written.</exception>
    public static RetentionResult Apply(
        ICheckpointStore store, RetentionPolicy policy, DateTimeOffset now,
        Func<CheckpointManifest, bool>? keep = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentOutOfRangeException.ThrowIfLessThan(policy.KeepCount, 1, nameof(policy));
        ArgumentOutOfRangeException.ThrowIfNegative(policy.MaxIncrements, nameof(policy));
        ArgumentOutOfRangeException.ThrowIfNegative(policy.MinGain, nameof(policy));
        IReadOnlyList<CheckpointManifest> all = store.Checkpoints;
        var run = new RetentionRun(store, policy, all.Count > 0 ? all[^1].Epoch : 0, cancellationToken);
        HashSet<Guid> kept = Select(all, policy, now, keep, run);
        run.Apply([.. kept]);
        Mark(store, [.. all.Where(m => !kept.Contains(m.Id)).Select(m => m.Id)]);
        return run.Result;
    }

    private static HashSet<Guid> Select(
        IReadOnlyList<CheckpointManifest> all, RetentionPolicy policy, DateTimeOffset now,
        Func<CheckpointManifest, bool>? keep, RetentionRun run)
    {
        CheckpointAges? ages = policy.KeepFor is { } limit ? new CheckpointAges(all, now, limit) : null;
        if (ages?.Doubt is { } doubt)
        {
            run.Leave(doubt);
        }

        var kept = new HashSet<Guid>();
        for (int i = 0; i < all.Count; i++)
        {
            int newer = all.Count - 1 - i;
            bool young = ages is null || ages[i] <= policy.KeepFor;
            if (newer == 0 || (newer < policy.KeepCount && young) || keep?.Invoke(all[i]) == true)
            {
                _ = kept.Add(all[i].Id);
            }
        }

        return kept;
    }

    // For whoever lists the store; where it is full, or somebody removes from it, the next time.
    private static void Mark(ICheckpointStore store, HashSet<Guid> gone)
    {
        foreach (CheckpointManifest manifest in store.Checkpoints)
        {
            bool expendable = gone.Contains(manifest.Id);
            if (store.IsExpendable(manifest.Epoch) == expendable)
            {
                continue;
            }

            try
            {
                store.SetExpendable(manifest.Epoch, expendable);
            }
            catch (Exception e) when (e is IOException or KeyNotFoundException)
            {
                return;
            }
        }
    }
}
