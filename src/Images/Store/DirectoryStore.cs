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

    /// <summary>An empty file in the folder of a checkpoint that is there because others build upon it.</summary>
    internal const string ExpendableName = "expendable";

    // What a client of NFS leaves in the place of a removed file that somebody has open; it goes when they close it.
    private const string HeldPrefix = ".nfs";

    private readonly Lock _lock = new();
    private readonly IDisposable? _lockFile;
    private readonly List<string> _recovered = [];
    private IReadOnlyList<Finding> _problems = [];

    // Epochs that are being written or rewritten, and the checkpoints that they build upon.
    private readonly HashSet<ulong> _open = [];
    private readonly List<Guid> _protected = [];
    private readonly HashSet<ulong> _expendable = [];
    private CheckpointManifest[] _checkpoints = [];
    private ulong _highest;

    private DirectoryStore(string root, IFileLayer files, IDisposable? lockFile)
    {
        Root = root;
        Files = files;
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

    /// <inheritdoc/>
    public long? FreeBytes => Files.FreeBytes(Root);

    /// <summary>The files that the store consists of.</summary>
    internal IFileLayer Files { get; }

    /// <summary>Called at each step of a change; a test throws from it.</summary>
    internal Action<CommitStep>? Fault { get; set; }

    /// <summary>Opens a store for writing, makes it where it does not exist, and removes what an interrupted change
    /// left.</summary>
    /// <param name="root">The store's directory.</param>
    /// <param name="progress">Called before each folder; may be null.</param>
    /// <exception cref="StoreLockedException">Another process writes.</exception>
    /// <exception cref="IOException">The directory cannot be used, or its file system cannot do what a store needs; the message
    /// says what.</exception>
    public static DirectoryStore Open(string root, Action? progress = null) => Open(root, SystemFiles.Instance, progress);

    /// <summary>As <see cref="Open(string, Action)"/>, on other files.</summary>
    /// <param name="root">The store's directory.</param>
    /// <param name="files">The files.</param>
    /// <param name="progress">Called before each folder; may be null.</param>
    /// <exception cref="StoreLockedException">Another process writes.</exception>
    /// <exception cref="IOException">The directory cannot be used.</exception>
    public static DirectoryStore Open(string root, IFileLayer files, Action? progress = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        ArgumentNullException.ThrowIfNull(files);
        root = Path.GetFullPath(root);
        MakeRoot(root, files);
        IDisposable lockFile = files.TryLock(Path.Combine(root, LockName)) ?? throw new StoreLockedException(root);
        try
        {
            StoreProbe.Run(root, files);
            var store = new DirectoryStore(root, files, lockFile);
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
    public static DirectoryStore OpenReadOnly(string root) => OpenReadOnly(root, SystemFiles.Instance);

    /// <summary>As <see cref="OpenReadOnly(string)"/>, on other files.</summary>
    internal static DirectoryStore OpenReadOnly(string root, IFileLayer files)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        var store = new DirectoryStore(Path.GetFullPath(root), files, null);
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
    public Stream OpenRead(ulong epoch, string file) => new ReopeningStream(Files, PathOf(epoch, file));

    /// <inheritdoc/>
    public bool IsExpendable(ulong epoch)
    {
        lock (_lock)
        {
            return _expendable.Contains(epoch);
        }
    }

    /// <inheritdoc/>
    public void SetExpendable(ulong epoch, bool expendable)
    {
        ThrowIfReadOnly();
        _ = Get(epoch);
        string mark = PathOf(epoch, ExpendableName);
        if (expendable)
        {
            Files.Create(mark).Dispose();
        }
        else
        {
            Files.DeleteFile(mark);
        }

        lock (_lock)
        {
            _ = expendable ? _expendable.Add(epoch) : _expendable.Remove(epoch);
        }
    }

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
            _ = _expendable.Remove(epoch);
        }

        string folder = FolderOf(epoch);
        string garbage = folder + RemovalSuffix;
        try
        {
            Files.MoveFolder(folder, garbage);
        }
        catch
        {
            Put(manifest);
            throw;
        }

        At(CommitStep.RemovalRenamed);
        Files.SyncFolder(Root);
        At(CommitStep.RemovalDurable);
        DeleteTree(garbage, () => At(CommitStep.RemovalStarted));
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => _lockFile?.Dispose();

    internal string FolderOf(ulong epoch) => Path.Combine(Root, epoch.ToString("D20", CultureInfo.InvariantCulture));

    internal void At(CommitStep step) => Fault?.Invoke(step);

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

    // A commit makes what is in the store durable, and not the way to it.
    private static void MakeRoot(string root, IFileLayer files)
    {
        var made = new Stack<string>();
        for (string? at = root; at is not null && !files.FolderExists(at); at = Path.GetDirectoryName(at))
        {
            made.Push(at);
        }

        files.MakeFolder(root);
        foreach (string folder in made)
        {
            files.SyncFolder(Path.GetDirectoryName(folder)!);
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
