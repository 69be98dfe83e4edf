using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>A node's past by its store.</summary>
/// <param name="node">The node.</param>
/// <param name="store">Its store.</param>
/// <param name="standing">Its checkpoints of the history that stands, the oldest first.</param>
/// <param name="incarnation">The incarnation that it is in, or was in.</param>
internal sealed class StoredPast(string node, DirectoryStore store, IReadOnlyList<CheckpointManifest> standing, int incarnation) : INodePast
{
    /// <inheritdoc/>
    public string Node => node;

    /// <inheritdoc/>
    public int Incarnation => incarnation;

    /// <inheritdoc/>
    public IReadOnlyList<CheckpointPoint> Points { get; } = StoreHistory.PointsOf(standing);

    /// <summary>The store.</summary>
    internal DirectoryStore Store => store;

    /// <inheritdoc/>
    public IReadOnlyList<Guid> DomainsOf(ulong epoch) => [.. Manifest(epoch).Domains.Select(d => d.Uuid)];

    /// <inheritdoc/>
    public IReadOnlyList<string> LostIn(ulong epoch) => NodeMessenger.LostIn(new Restorer(store).ReadNodeState(Manifest(epoch)));

    /// <summary>The manifest of a checkpoint that stands.</summary>
    /// <param name="epoch">The checkpoint's epoch.</param>
    internal CheckpointManifest Manifest(ulong epoch) => standing.First(m => m.Epoch == epoch);
}
