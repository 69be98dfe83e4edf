using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Control.Checkpoints;

/// <summary>Where this host keeps checkpoints and its own state.</summary>
/// <param name="Store">The store's directory.</param>
/// <param name="State">The state directory.</param>
internal sealed record Places(string Store, string State)
{
    internal const string DefaultStore = "/var/lib/xtlckpt/store";
    internal const string DefaultState = "/var/lib/xtlckpt/state";

    /// <summary>Finds a checkpoint by what a person types: <c>latest</c>, an epoch, a label, or the beginning of an
    /// identity. The newest wins where several have a label.</summary>
    internal static CheckpointManifest Find(ICheckpointStore store, string text)
    {
        IReadOnlyList<CheckpointManifest> all = store.Checkpoints;
        CheckpointManifest? found = text == "latest" && all.Count > 0 ? all[^1] : null;
        found ??= all.LastOrDefault(m => m.Closing.Label == text && text.Length > 0);
        found ??= ulong.TryParse(text, out ulong epoch) ? all.FirstOrDefault(m => m.Epoch == epoch) : null;
        if (found is not null)
        {
            return found;
        }

        List<CheckpointManifest> named =
            [.. all.Where(m => text.Length >= 4 && $"{m.Id}".StartsWith(text, StringComparison.OrdinalIgnoreCase))];
        return named.Count switch
        {
            1 => named[0],
            0 => throw new CheckpointNotFoundException(
                $"There is no checkpoint '{text}'. 'xtlctl checkpoints' lists those that there are."),
            _ => throw new CheckpointNotFoundException($"'{text}' is the beginning of {named.Count} checkpoints."),
        };
    }
}

/// <summary>A checkpoint that a command names does not exist.</summary>
internal sealed class CheckpointNotFoundException(string message) : Exception(message);
