namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>Points of a directory's checkpoint and restore at which a process may end, in their order.</summary>
internal enum DirectoryStep
{
    /// <summary>The new layer is in the record.</summary>
    Recorded,

    /// <summary>The new layer is there.</summary>
    LayerMade,

    /// <summary>Open files have names in the new layer, and copies.</summary>
    Carried,

    /// <summary>The new overlay is mounted beside the old one.</summary>
    Mounted,

    /// <summary>The new overlay is where the guest looks.</summary>
    Replaced,

    /// <summary>The new layer has the mark of one that is the upper one.</summary>
    MarkedLive,

    /// <summary>The copies are in the sealed layer.</summary>
    Sealed,

    /// <summary>The sealed layer is in the record.</summary>
    Committed,

    /// <summary>The image is written.</summary>
    Written,

    /// <summary>The record says what the next increment builds upon.</summary>
    Kept,

    /// <summary>Layers are merged, and not in the record.</summary>
    Merged,

    /// <summary>The merged layer is in the record.</summary>
    MergeRecorded,

    /// <summary>A restore has made a layer.</summary>
    LayerRestored,

    /// <summary>All of a restore's layers are there.</summary>
    LayersRestored,

    /// <summary>The record has the restored layers.</summary>
    RestoreRecorded,
}
