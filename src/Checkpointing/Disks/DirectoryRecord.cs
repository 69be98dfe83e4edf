namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>A directory that guests mount, on overlayfs: layers that do not change any more, and the upper one.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Root">The folder that has all of it.</param>
/// <param name="LastId">The id that a layer was given last.</param>
/// <param name="Layers">Sealed layers, the lowest first; at least one.</param>
/// <param name="Upper">The layer that receives changes.</param>
/// <param name="Sealed">What the next increment builds upon; null where the next image is full.</param>
/// <param name="Pending">A checkpoint that is under way, or was when its process ended.</param>
/// <param name="Restoring">Layers of a restore that is under way, or was when its process ended.</param>
/// <param name="Kept">What the directory was before it was restored, oldest first.</param>
/// <param name="Unwanted">Layers that nobody needs, and that may exist still.</param>
public sealed record DirectoryRecord(
    string Name, string Root, int LastId, IReadOnlyList<LayerRecord> Layers, int Upper, SealedLayers? Sealed,
    PendingLayer? Pending, IReadOnlyList<int> Restoring, IReadOnlyList<KeptLayers> Kept, IReadOnlyList<int> Unwanted)
{
    internal const string ExportPath = "mnt/export";

    /// <summary>The directory that a guest's configuration names; the guest finds its data in <c>data</c> below it.
    /// </summary>
    public string Path => $"{Root}/{ExportPath}";
}

/// <summary>A layer that does not change any more.</summary>
/// <param name="Id">Its number, which is its folder's name.</param>
/// <param name="SealedBy">The checkpoint that sealed it; another unique id where none did.</param>
public sealed record LayerRecord(int Id, Guid SealedBy);

/// <summary>What a checkpoint in the store has of a directory.</summary>
/// <param name="Checkpoint">The checkpoint's identity.</param>
/// <param name="Layer">The highest layer that is in it.</param>
/// <param name="Increments">Increments since the full image.</param>
public sealed record SealedLayers(Guid Checkpoint, int Layer, int Increments);

/// <summary>The layer that becomes the upper one when a checkpoint seals the present one.</summary>
/// <param name="Checkpoint">The checkpoint's identity.</param>
/// <param name="Upper">The layer.</param>
public sealed record PendingLayer(Guid Checkpoint, int Upper);

/// <summary>What a directory was before a restore.</summary>
/// <param name="Layers">Its sealed layers.</param>
/// <param name="Upper">Its upper layer.</param>
/// <param name="Since">When it was put aside.</param>
/// <param name="RestoredTo">The checkpoint that the directory was restored to.</param>
public sealed record KeptLayers(
    IReadOnlyList<LayerRecord> Layers, int Upper, DateTimeOffset Since, Guid RestoredTo);
