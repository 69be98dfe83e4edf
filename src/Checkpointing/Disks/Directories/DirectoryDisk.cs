using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>A directory that a guest mounts by 9pfs. A sealed state is a stack of layers that do not change any more; an
/// increment is the layer that was the upper one since the checkpoint before.</summary>
/// <remarks>
/// The guest's server goes on with the files that it has open. Those that it may write stay in the upper layer: the new
/// layer gets further names of them, and the sealed one a copy of each in its place. So do files with several names,
/// of which overlayfs would make several files.
/// </remarks>
public sealed class DirectoryDisk : ICheckpointedDisk
{
    /// <summary>Above the lowest layer. Each costs a lookup for every name that is not in a higher one, and some 60 octets
    /// of the page that a mount's options fit into.</summary>
    internal const int MaxLayers = 16;

    /// <summary>Bytes copied with the guest suspended, where the file system cannot share them.</summary>
    internal const long MaxCopied = 256 << 20;

    /// <summary>Increments after which an image is full again. One that is folded has all layers since the last full one,
    /// and would grow without end.</summary>
    internal const int MaxIncrements = 64;

    private readonly DiskRegistry _registry;
    private readonly OverlayDirectories _directories;
    private readonly string _directory;
    private readonly DirectoryPlaces _places;
    private Guid _checkpoint;
    private int _upper, _new;
    private int[] _servers = [];
    private string _options = "";
    private bool _shares;
    private bool _prepared, _replaced;
    private int _increments;
    private RawTime _sealedAt;

    /// <summary>Opens a directory.</summary>
    /// <param name="registry">The host's record.</param>
    /// <param name="directory">The directory's name.</param>
    /// <param name="name">The tag that the guest knows it by.</param>
    /// <exception cref="DiskException">There is no such directory.</exception>
    public DirectoryDisk(DiskRegistry registry, string directory, string name)
    {
        ArgumentNullException.ThrowIfNull(registry);
        _registry = registry;
        _directories = new OverlayDirectories(registry);
        _directory = directory;
        _places = new DirectoryPlaces(registry.Read().Directory(directory));
        Name = name;
        Info = new DiskInfo(name, 0);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>How long the guest's server may take to finish what the guest had asked for. A guest does not suspend
    /// itself before its programs stand still, so there is nothing left as a rule.</summary>
    internal TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <inheritdoc/>
    public ImageContent Content => ImageContent.Directory;

    /// <inheritdoc/>
    public DiskInfo Info { get; }

    /// <inheritdoc/>
    public int BlockSize => 0;

    /// <summary>Fault points of the tests.</summary>
    internal Action<DirectoryStep>? Fault { get; set; }

    /// <summary>True where the file system can share octets of files, so that nothing is copied; known when the directory
    /// is prepared.</summary>
    internal bool Shares => _shares;

    private DirectoryRecord Record => _registry.Read().Directory(_directory);

    /// <inheritdoc/>
    /// <exception cref="DiskException">The directory is not active, or used by others than one guest.</exception>
    /// <exception cref="IOException">A layer cannot be made, or the record not written.</exception>
    public void Prepare(Guid checkpoint)
    {
        _checkpoint = checkpoint;
        _prepared = _replaced = false;
        DirectoryRecord record = _directories.Settle(_directory);
        if (_places.MountedUpper() != record.Upper)
        {
            throw new DiskException(
                $"Directory {_directory} is not active: its layers are not mounted. 'xtlctl disk activate' mounts them.");
        }

        _places.UnmountOthers();
        _servers = RequireOneServer();
        record = _directories.MergeLayers(_directory, MaxLayers);
        _directories.Purge(_directory);
        record = _registry.Update(s =>
        {
            DirectoryRecord now = s.Directory(_directory);
            return s.With(now with { LastId = now.LastId + 1, Pending = new PendingLayer(checkpoint, now.LastId + 1) });
        }).Directory(_directory);
        _prepared = true;
        Fault?.Invoke(DirectoryStep.Recorded);
        (_upper, _new) = (record.Upper, record.Pending!.Upper);
        _places.MakeLayer(_new);
        RawFiles.RemoveTree(_places.Copies(_new));
        RawFiles.MakeDirectory(_places.Copies(_new));
        _shares = CanShare();
        _options = _places.Options([.. record.Layers, new LayerRecord(_upper, checkpoint)], _new);
        Fault?.Invoke(DirectoryStep.LayerMade);
    }

    /// <inheritdoc/>
    /// <remarks>Takes as long as looking at every entry of the upper layer, and copying what is open in it, takes.</remarks>
    /// <exception cref="DiskException">Too much is open, or the guest's server was not done with the guest's requests.
    /// </exception>
    /// <exception cref="IOException">A file cannot be copied, or the new layer not mounted.</exception>
    public void Seal()
    {
        if (!_prepared)
        {
            throw new InvalidOperationException("The directory was not prepared.");
        }

        var held = new List<HeldProcess>(_servers.Length);
        try
        {
            foreach (int server in _servers)
            {
                held.Add(HeldProcess.WhenIdle(server, IdleTimeout));
            }

            SealHeld();
        }
        finally
        {
            held.ForEach(h => h.Dispose());
        }
    }

    /// <inheritdoc/>
    /// <exception cref="DiskException">A sealed layer holds what an image cannot, or was changed.</exception>
    public void Write(ImageWriter writer, Guid since)
    {
        ArgumentNullException.ThrowIfNull(writer);
        if (!_replaced)
        {
            throw new InvalidOperationException("The directory was not sealed.");
        }

        Commit();
        DirectoryRecord record = Record;
        _increments = since == Guid.Empty ? 0 : (record.Sealed?.Increments ?? 0) + 1;
        if (since == Guid.Empty)
        {
            // One layer alone is read as it is.
            _places.ReadTogether(
                record.Layers, tree => Add(writer, _checkpoint, tree, _sealedAt, seen: record.Layers.Count > 1));
        }
        else if (record.Sealed is { } older && older.Checkpoint == since)
        {
            // More than one where a checkpoint sealed a layer and did not come into the store.
            int first = record.Layers.ToList().FindIndex(l => l.Id == older.Layer) + 1;
            for (int i = first; i < record.Layers.Count; i++)
            {
                LayerRecord layer = record.Layers[i];
                Add(writer, layer.SealedBy, _places.Layer(layer.Id), layer.Id == _upper ? _sealedAt : null);
            }
        }
        else
        {
            throw new InvalidOperationException($"The state of checkpoint {since} is not there any more.");
        }

        // Once the image is in the store, increments build upon the layer, also after a power cut.
        using Microsoft.Win32.SafeHandles.SafeFileHandle folder = RawFiles.OpenToRead(_places.Layer(_upper));
        FileContents.SyncFileSystem(folder);
        Fault?.Invoke(DirectoryStep.Written);
    }

    /// <inheritdoc/>
    public bool CanBuildUpon(Guid checkpoint) =>
        Record.Sealed is { } older && older.Checkpoint == checkpoint && older.Increments < MaxIncrements;

    /// <inheritdoc/>
    public void Keep()
    {
        try
        {
            _ = _registry.Update(s => s.With(s.Directory(_directory) with
            {
                Sealed = new SealedLayers(_checkpoint, _upper, _increments),
            }));
            Fault?.Invoke(DirectoryStep.Kept);
            _directories.Purge(_directory);
        }
        catch (Exception e) when (e is IOException or DiskException)
        {
            // The checkpoint is in the store. Where the record does not know of it, the next increment has more layers.
        }

        _prepared = _replaced = false;
    }

    /// <inheritdoc/>
    public void Abandon()
    {
        try
        {
            if (_replaced)
            {
                // The layer stays sealed: the next increment has it and what comes after it.
                Commit();
            }
            else if (_prepared)
            {
                _directories.DropPending(_directory);
            }

            _directories.Purge(_directory);
        }
        catch (Exception e) when (e is IOException or DiskException)
        {
            // The next checkpoint finds by the mounts what was done.
        }

        _prepared = _replaced = false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Directories outlive their guests.
    }

    private static void Add(ImageWriter writer, Guid sealedBy, string tree, RawTime? sealedAt, bool seen = false)
    {
        using var stream = new LayerStream(tree, sealedAt, seen);
        writer.AddLayer(sealedBy, stream);
    }

    private void Commit()
    {
        _directories.CommitSeal(_directory);
        _places.UnmountOthers();
        Fault?.Invoke(DirectoryStep.Committed);
    }

    private void SealHeld()
    {
        string upper = _places.Layer(_upper), next = _places.Layer(_new), copies = _places.Copies(_new);
        IReadOnlyCollection<CarriedFile> carried = UpperScan.Find(upper);
        var folders = new Dictionary<string, RawStat>(StringComparer.Ordinal);
        Carry(carried, upper, next, copies, folders);
        Fault?.Invoke(DirectoryStep.Carried);
        _places.MountNew(_options);
        Fault?.Invoke(DirectoryStep.Mounted);
        RawFiles.MakeDirectory(_places.NextMark(_new));
        _places.Replace();
        _replaced = true;
        Fault?.Invoke(DirectoryStep.Replaced);
        _places.MarkLive(_new);
        Fault?.Invoke(DirectoryStep.MarkedLive);

        // Lookups of these names end in the new layer, so that the mounted overlay never sees them change in this one.
        int copy = 0;
        foreach (CarriedFile file in carried)
        {
            string source = $"{copies}/{copy++}";
            foreach (string name in file.Names)
            {
                string spare = $"{copies}/name";
                RawFiles.Link(source, spare);
                RawFiles.Rename(spare, $"{upper}/{name}");
            }

            RawFiles.Remove(source);
        }

        foreach ((string path, RawStat stat) in folders)
        {
            RawFiles.SetModified(path, stat.Modified);
        }

        // The file system's own idea of now: what changes in the sealed layer later shows by it.
        RawFiles.SetModified(_places.Mark(_new), default);
        _sealedAt = RawFiles.Stat(_places.Mark(_new)).Changed;
        Fault?.Invoke(DirectoryStep.Sealed);
    }

    // Gives files that go on being written names in the next layer, and copies them. The sealed layer stays as it is.
    private void Carry(
        IReadOnlyCollection<CarriedFile> carried, string upper, string next, string copies,
        Dictionary<string, RawStat> folders)
    {
        if (!_shares && carried.Sum(c => c.Stat.Length) is var length && length > MaxCopied)
        {
            throw new DiskException(
                $"The guest has files of {length >> 20} MiB open to write in directory {_directory}, or under several names. "
                + $"More than {MaxCopied >> 20} MiB are not copied while it is suspended; on XFS or btrfs they need not be.");
        }

        var made = new List<(string Path, RawTime Time)>();
        int copy = 0;
        foreach (CarriedFile file in carried)
        {
            foreach (string name in file.Names)
            {
                string parent = Trees.ParentOf(name), folder = Trees.PathOf(upper, parent);
                if (!folders.ContainsKey(folder))
                {
                    folders.Add(folder, RawFiles.Stat(folder));
                }

                Trees.MakeDirectories(n => Trees.PathOf(upper, n), next, parent, made);
                RawFiles.Link($"{upper}/{name}", $"{next}/{name}");
            }

            _ = Trees.CopyFile($"{upper}/{file.Names[0]}", $"{copies}/{copy++}", file.Stat);
        }

        made.ForEach(m => RawFiles.SetModified(m.Path, m.Time));
        Trees.CopyAttributes(upper, next, RawFiles.Stat(upper));
    }

    private int[] RequireOneServer()
    {
        IReadOnlyList<DirectoryUser> users = DirectoryUsers.Find(_places.Export, _places.Data);
        if (users.FirstOrDefault(u => !u.Serves || u.WorksInside) is { } other)
        {
            throw new DiskException(
                $"Process {other.Pid} ({other.Name}) of this host works in directory {_directory}. What it does there while "
                + "the directory is sealed could be in no checkpoint: end it, or let it leave the directory.");
        }

        int[] servers = [.. users.Select(u => u.Pid)];
        return servers.Length <= 1
            ? servers
            : throw new DiskException(
                $"Directory {_directory} is exported to {servers.Length} guests, by processes "
                + $"{string.Join(", ", servers)}. A checkpoint of one of them could not hold it.");
    }

    // Whether files of the layers' file system can share octets.
    private bool CanShare()
    {
        string one = $"{_places.Copies(_new)}/one", other = $"{_places.Copies(_new)}/other";
        using (Microsoft.Win32.SafeHandles.SafeFileHandle from = RawFiles.Create(one), to = RawFiles.Create(other))
        {
            RandomAccess.Write(from, new byte[4096], 0);
            using Microsoft.Win32.SafeHandles.SafeFileHandle read = RawFiles.OpenToRead(one);
            bool shares = FileContents.TryShare(read, to);
            RawFiles.Remove(one);
            RawFiles.Remove(other);
            return shares;
        }
    }
}
