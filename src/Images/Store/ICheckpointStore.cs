using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Keeps checkpoints. A checkpoint is there as a whole or not at all.</summary>
/// <remarks>Thread-safe. A file that a manifest names may be gone when it is opened: folded or removed meanwhile.
/// </remarks>
public interface ICheckpointStore : IDisposable
{
    /// <summary>The checkpoints, oldest epoch first: a list that does not change any more.</summary>
    IReadOnlyList<CheckpointManifest> Checkpoints { get; }

    /// <summary>Checkpoints that are there and cannot be read, found when the store was opened.</summary>
    IReadOnlyList<Finding> Problems { get; }

    /// <summary>An epoch number that is higher than all in the store.</summary>
    ulong NextEpoch { get; }

    /// <summary>Octets that may still be written; null where that is not known.</summary>
    long? FreeBytes => null;

    /// <summary>Reads again which checkpoints there are, where another process may have changed them. Somebody whose
    /// file is gone calls it and tries again.</summary>
    /// <exception cref="IOException">The store cannot be read.</exception>
    void Refresh()
    {
    }

    /// <summary>How a file is called in messages.</summary>
    /// <param name="epoch">The checkpoint's epoch.</param>
    /// <param name="file">The file's name, from the manifest.</param>
    string PathOf(ulong epoch, string file);

    /// <summary>Opens an image.</summary>
    /// <param name="epoch">The checkpoint's epoch.</param>
    /// <param name="file">The file's name, from the manifest.</param>
    /// <returns>A stream that can seek.</returns>
    /// <exception cref="IOException">It is not there, or cannot be read.</exception>
    Stream OpenRead(ulong epoch, string file);

    /// <summary>Begins a checkpoint.</summary>
    /// <param name="epoch">Its epoch, at least <see cref="NextEpoch"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">The epoch was used already.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    ICheckpointTransaction Begin(ulong epoch);

    /// <summary>Begins to replace images of a checkpoint by others of the same state.</summary>
    /// <param name="epoch">Its epoch.</param>
    /// <exception cref="KeyNotFoundException">There is no such checkpoint.</exception>
    /// <exception cref="InvalidOperationException">It is being rewritten already.</exception>
    ICheckpointTransaction Rewrite(ulong epoch);

    /// <summary>Removes a checkpoint, unless something builds upon it.</summary>
    /// <param name="epoch">Its epoch.</param>
    /// <returns>False where another checkpoint builds upon it, or one that is being written, or where it is being
    /// rewritten; it is still there then.</returns>
    /// <exception cref="KeyNotFoundException">There is no such checkpoint.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    bool Remove(ulong epoch);

    /// <summary>True for a checkpoint that is kept only because others build upon it. It is as whole as any, until it goes.
    /// </summary>
    /// <param name="epoch">Its epoch.</param>
    bool IsExpendable(ulong epoch) => false;

    /// <summary>Says whether a checkpoint is kept only because others build upon it, for whoever lists the store. A crash may
    /// lose it.</summary>
    /// <param name="epoch">Its epoch.</param>
    /// <param name="expendable">What to say.</param>
    /// <exception cref="KeyNotFoundException">There is no such checkpoint.</exception>
    /// <exception cref="IOException">The store cannot be written.</exception>
    void SetExpendable(ulong epoch, bool expendable)
    {
    }
}

/// <summary>A change of a store: nothing of it shows before <see cref="Commit"/>, everything after.</summary>
/// <remarks>Disposing it without a commit, or after one that failed, leaves the store as it was before.</remarks>
public interface ICheckpointTransaction : IDisposable
{
    /// <summary>Creates a file, readable by its owner only.</summary>
    /// <param name="file">Its name; none that the checkpoint has already.</param>
    /// <returns>A stream that belongs to the transaction. It is not buffered.</returns>
    /// <exception cref="IOException">The file could not be made.</exception>
    Stream Create(string file);

    /// <summary>Removes a file that was created here.</summary>
    /// <param name="file">Its name.</param>
    /// <exception cref="KeyNotFoundException">There is no such file.</exception>
    void Remove(string file);

    /// <summary>Keeps a checkpoint in the store until this change is over: something in it builds upon that one.
    /// </summary>
    /// <param name="checkpoint">The checkpoint's identity.</param>
    /// <returns>False where it is not in the store.</returns>
    bool Protect(Guid checkpoint);

    /// <summary>Makes all files durable, and then the manifest that names them. Files that the manifest of a rewritten
    /// checkpoint does not name any more are removed after that.</summary>
    /// <param name="manifest">Names the created files, and of a rewritten checkpoint those that stay.</param>
    /// <exception cref="ArgumentException">It does not name what is there.</exception>
    /// <exception cref="IOException">The store could not be written; it is as it was before. For a rewritten
    /// checkpoint this can also be known only after its new manifest took the old one's place; both say the same
    /// state.</exception>
    void Commit(CheckpointManifest manifest);
}

/// <summary>Another process has a store open for writing.</summary>
public sealed class StoreLockedException : IOException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="root">The store.</param>
    public StoreLockedException(string root)
        : base(
            $"Store {root} is in use by another process, and has one writer at a time. Stop the other one "
            + $"('fuser {root}/{DirectoryStore.LockName}' names it), or open the store for reading.")
    {
    }
}
