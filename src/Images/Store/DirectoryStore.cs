using System.Globalization;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>A store in a directory, on a local disk or NFS: one folder a checkpoint, named by its epoch.</summary>
/// <remarks>
/// A new checkpoint is written into a folder with a temporary name, its manifest last; renaming the folder commits it.
/// So a folder with a final name and without a manifest is never what a crash leaves, and is reported, not removed.
/// </remarks>
public sealed partial class DirectoryStore : ICheckpointStore
{
    internal const string LockName = "lock";
    internal const string TemporarySuffix = ".tmp";
    internal const string RemovalSuffix = ".del";
    internal const UnixFileMode FileMode600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode FolderMode700 = FileMode600 | UnixFileMode.UserExecute;

    // EAGAIN: another open file description has the lock (flock(2)).
    private const int WouldBlock = 11;

    private readonly Lock _lock = new();
    private readonly FileStream? _lockFile;
    private readonly List<string> _recovered = [];
    private IReadOnlyList<Finding> _problems = [];

    // Epochs that are being written or rewritten, and the checkpoints that they build upon.
    private readonly HashSet<ulong> _open = [];
    private readonly List<Guid> _protected = [];
    private CheckpointManifest[] _checkpoints = [];
    private ulong _highest;

    private DirectoryStore(string root, FileStream? lockFile)
    {
        Root = root;
        _lockFile = lockFile;
    }

    /// <summary>The store's directory.</summary>
    public string Root { get; }

    /// <summary>What was removed when the store was opened: paths of leftovers of interrupted changes.</summary>
    public IReadOnlyList<string> Recovered => _recovered;

    /// <inheritdoc/>
    public IReadOnlyList<Finding> Problems => _problems;

    /// <inheritdoc/>
    public IReadOnlyList<CheckpointManifest> Checkpoints
    {
        get
        {
            lock (_lock)
            {
                return _checkpoints;
            }
        }
    }

    /// <inheritdoc/>
    public ulong NextEpoch
    {
        get
        {
            lock (_lock)
            {
                return _highest + 1;
            }
        }
    }

    /// <summary>Called at each step of a change; a test throws from it.</summary>
    internal Action<CommitStep>? Fault { get; set; }

    /// <summary>Opens a store for writing, makes it where it does not exist, and removes what an interrupted change
    /// left.</summary>
    /// <param name="root">The store's directory.</param>
    /// <param name="progress">Called before each folder; may be null.</param>
    /// <exception cref="StoreLockedException">Another process writes.</exception>
    /// <exception cref="IOException">The directory cannot be used.</exception>
    public static DirectoryStore Open(string root, Action? progress = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        root = Path.GetFullPath(root);
        _ = Directory.CreateDirectory(root, FolderMode700);
        FileStream lockFile;
        try
        {
            lockFile = new FileStream(Path.Combine(root, LockName), new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                UnixCreateMode = FileMode600,
            });
        }
        catch (IOException e) when (e.HResult == WouldBlock)
        {
            throw new StoreLockedException(root, e);
        }

        try
        {
            var store = new DirectoryStore(root, lockFile);
            store.Load(recover: true, progress);
            return store;
        }
        catch
        {
            lockFile.Dispose();
            throw;
        }
    }

    /// <summary>Opens a store for reading, beside a writer or without one. Changes nothing.</summary>
    /// <param name="root">The store's directory.</param>
    /// <remarks>Sees the checkpoints of this moment, until <see cref="Refresh"/>; a writer may remove them meanwhile.
    /// </remarks>
    /// <exception cref="IOException">The directory cannot be read.</exception>
    public static DirectoryStore OpenReadOnly(string root)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        var store = new DirectoryStore(Path.GetFullPath(root), null);
        store.Load(recover: false);
        return store;
    }

    /// <inheritdoc/>
    public void Refresh()
    {
        // Of a store that is open for writing, this process knows all.
        if (_lockFile is null)
        {
            Load(recover: false);
        }
    }

    /// <inheritdoc/>
    public string PathOf(ulong epoch, string file) => Path.Combine(FolderOf(epoch), file);

    /// <inheritdoc/>
    public Stream OpenRead(ulong epoch, string file) => new FileStream(
        PathOf(epoch, file),
        new FileStreamOptions { Options = FileOptions.SequentialScan, Share = FileShare.Read | FileShare.Delete });

    /// <inheritdoc/>
    public ICheckpointTransaction Begin(ulong epoch)
    {
        ThrowIfReadOnly();
        lock (_lock)
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(epoch, _highest);
            if (!_open.Add(epoch))
            {
                throw new ArgumentOutOfRangeException(nameof(epoch), epoch, "The epoch is open already.");
            }
        }

        try
        {
            return new DirectoryTransaction(this, epoch, null);
        }
        catch
        {
            Close(epoch, []);
            throw;
        }
    }

    /// <inheritdoc/>
    public ICheckpointTransaction Rewrite(ulong epoch)
    {
        ThrowIfReadOnly();
        CheckpointManifest manifest;
        lock (_lock)
        {
            manifest = Get(epoch);
            if (!_open.Add(epoch))
            {
                throw new InvalidOperationException($"The checkpoint of epoch {epoch} is being rewritten already.");
            }
        }

        return new DirectoryTransaction(this, epoch, manifest);
    }

    /// <inheritdoc/>
    public bool Remove(ulong epoch)
    {
        ThrowIfReadOnly();
        CheckpointManifest manifest;
        lock (_lock)
        {
            manifest = Get(epoch);
            if (_open.Contains(epoch) || _protected.Contains(manifest.Id)
                || _checkpoints.Any(m => m.BuildsUpon(manifest.Id)))
            {
                return false;
            }

            _checkpoints = [.. _checkpoints.Where(m => m.Epoch != epoch)];
        }

        string folder = FolderOf(epoch);
        string garbage = folder + RemovalSuffix;
        try
        {
            Directory.Move(folder, garbage);
        }
        catch
        {
            Put(manifest);
            throw;
        }

        At(CommitStep.RemovalRenamed);
        DirectorySync.Flush(Root);
        At(CommitStep.RemovalDurable);
        foreach (string file in Directory.GetFiles(garbage))
        {
            File.Delete(file);
            At(CommitStep.RemovalStarted);
        }

        Directory.Delete(garbage, recursive: true);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => _lockFile?.Dispose();

    internal string FolderOf(ulong epoch) => Path.Combine(Root, epoch.ToString("D20", CultureInfo.InvariantCulture));

    internal void At(CommitStep step) => Fault?.Invoke(step);

    internal static void MakeFolder(string path) => _ = Directory.CreateDirectory(path, FolderMode700);

    internal void Put(CheckpointManifest manifest)
    {
        lock (_lock)
        {
            _checkpoints =
            [
                .. _checkpoints.Where(m => m.Epoch != manifest.Epoch).Append(manifest).OrderBy(m => m.Epoch),
            ];
            _highest = Math.Max(_highest, manifest.Epoch);
        }
    }

    internal bool TryProtect(Guid checkpoint)
    {
        lock (_lock)
        {
            bool there = _checkpoints.Any(m => m.Id == checkpoint);
            if (there)
            {
                _protected.Add(checkpoint);
            }

            return there;
        }
    }

    internal void Close(ulong epoch, IEnumerable<Guid> isProtected)
    {
        lock (_lock)
        {
            _ = _open.Remove(epoch);
            foreach (Guid checkpoint in isProtected)
            {
                _ = _protected.Remove(checkpoint);
            }
        }
    }

    private CheckpointManifest Get(ulong epoch) => Checkpoints.FirstOrDefault(m => m.Epoch == epoch)
        ?? throw new KeyNotFoundException($"Store {Root} has no checkpoint of epoch {epoch}.");

    private void ThrowIfReadOnly()
    {
        if (_lockFile is null)
        {
            throw new InvalidOperationException($"Store {Root} is open for reading.");
        }
    }
}
