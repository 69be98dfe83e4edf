namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Steps of changing a directory store, in order. Tests stop it at each; see
/// <see cref="DirectoryStore.Fault"/>.</summary>
internal enum CommitStep
{
    /// <summary>The temporary folder of a new checkpoint exists.</summary>
    FolderMade = 1,

    /// <summary>The temporary file of an image exists.</summary>
    ImageMade = 2,

    /// <summary>The images are written.</summary>
    ImagesWritten = 3,

    /// <summary>The images are on the device.</summary>
    ImagesSynced = 4,

    /// <summary>Rewriting: the images have their names.</summary>
    ImagesNamed = 5,

    /// <summary>The names of the images are on the device.</summary>
    NamesSynced = 6,

    /// <summary>The manifest is written under a temporary name.</summary>
    ManifestWritten = 7,

    /// <summary>The manifest is on the device.</summary>
    ManifestSynced = 8,

    /// <summary>The rename that commits is done: that of a new checkpoint's folder, or of a new manifest.</summary>
    Renamed = 9,

    /// <summary>The rename is on the device.</summary>
    Durable = 10,

    /// <summary>Rewriting: one file that is not named any more is removed.</summary>
    GarbageRemoved = 11,

    /// <summary>Removing: the checkpoint's folder is renamed.</summary>
    RemovalRenamed = 12,

    /// <summary>Removing: the rename is on the device.</summary>
    RemovalDurable = 13,

    /// <summary>Removing: a file is gone.</summary>
    RemovalStarted = 14,
}
