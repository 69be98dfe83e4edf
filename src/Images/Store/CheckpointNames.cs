namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Checkpoints by what people call them.</summary>
public static class CheckpointNames
{
    /// <summary>Octets of the beginning of an identity that are enough to name a checkpoint.</summary>
    private const int MinPrefix = 4;

    /// <summary>Finds a checkpoint by what a person types: <c>latest</c>, an epoch, a label, or the beginning of an
    /// identity. The newest wins where several have a label.</summary>
    /// <param name="store">The store.</param>
    /// <param name="text">What was typed.</param>
    /// <exception cref="CheckpointNotFoundException">No checkpoint is meant, or several could be.</exception>
    public static CheckpointManifest Find(this ICheckpointStore store, string text)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(text);
        IReadOnlyList<CheckpointManifest> all = store.Checkpoints;
        CheckpointManifest? found = text == "latest" && all.Count > 0 ? all[^1] : null;
        found ??= all.LastOrDefault(m => m.Closing.Label == text && text.Length > 0);
        found ??= ulong.TryParse(text, out ulong epoch) ? all.FirstOrDefault(m => m.Epoch == epoch) : null;
        if (found is not null)
        {
            return found;
        }

        List<CheckpointManifest> named =
            [.. all.Where(m => text.Length >= MinPrefix && $"{m.Id}".StartsWith(text, StringComparison.OrdinalIgnoreCase))];
        return named.Count switch
        {
            1 => named[0],
            0 => throw new CheckpointNotFoundException(
                $"There is no checkpoint '{text}'. 'xtlctl checkpoints' lists those that there are."),
            _ => throw new CheckpointNotFoundException($"'{text}' is the beginning of {named.Count} checkpoints."),
        };
    }

    /// <summary>Finds a domain of a checkpoint by its name or UUID.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="text">What was typed.</param>
    /// <exception cref="CheckpointNotFoundException">The checkpoint has no such domain.</exception>
    public static ManifestDomain FindDomain(this CheckpointManifest checkpoint, string text)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return checkpoint.Domains.FirstOrDefault(d => d.Name == text || $"{d.Uuid}" == text)
            ?? throw new CheckpointNotFoundException(
                $"Checkpoint {checkpoint.Id} has no domain '{text}'; it has "
                + $"{string.Join(", ", checkpoint.Domains.Select(d => d.Name))}.");
    }
}

/// <summary>A checkpoint that somebody names does not exist, or has no such domain.</summary>
public sealed class CheckpointNotFoundException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is missing, and what there is.</param>
    public CheckpointNotFoundException(string message)
        : base(message)
    {
    }
}
