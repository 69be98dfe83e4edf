using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What a node's store says of its past.</summary>
internal static class StoreHistory
{
    /// <summary>Checkpoints of the history that stands.</summary>
    /// <param name="store">The store.</param>
    /// <param name="record">The node's record.</param>
    internal static IEnumerable<CheckpointManifest> Standing(this DirectoryStore store, NodeRecord record) =>
        store.Checkpoints.Where(m => RecoveryChoices.Stands(m.Epoch, record.Discarded));

    /// <summary>The index of the oldest checkpoint of the history that stands; 0 for none.</summary>
    /// <param name="store">The store.</param>
    /// <param name="record">The node's record.</param>
    internal static long OldestIndex(this DirectoryStore store, NodeRecord record) =>
        (long)(store.Standing(record).FirstOrDefault()?.Closing.Index ?? 0);

    /// <summary>The epoch of the last checkpoint; 0 for none.</summary>
    /// <param name="store">The store.</param>
    internal static ulong LastEpoch(this DirectoryStore store) => store.Checkpoints is [.., CheckpointManifest last] ? last.Epoch : 0;

    /// <summary>Where checkpoints are in the node's history.</summary>
    /// <param name="checkpoints">The checkpoints.</param>
    internal static IReadOnlyList<CheckpointPoint> PointsOf(IEnumerable<CheckpointManifest> checkpoints) =>
        RecoveryChoices.PointsOf([.. checkpoints.Select(m => (m.Epoch, m.Closing.Index, m.Before))]);
}
