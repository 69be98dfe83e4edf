using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Images.Tests.Files;

/// <summary>Files in memory. A crash keeps what was synced, and of the rest what the test says: contents of files and names in
/// directories apart, a rename as a whole. Counts what is written, may be full, and may die at a call.</summary>
internal sealed class LosingFiles : IFileLayer
{
    private readonly FolderNode _root = new();
    private readonly Lock _gate = new();
    private int _operations;
    private long _used;
    private bool _locked;

    /// <summary>Octets that fit; null for as many as one likes.</summary>
    internal long? Capacity { get; set; }

    /// <summary>Octets written since the beginning.</summary>
    internal long Written { get; private set; }

    /// <summary>Octets of all files.</summary>
    internal long Used => _used;

    /// <summary>Calls that change something, so far.</summary>
    internal int Calls { get; private set; }

    /// <summary>The call at which the machine dies: it and all behind it fail, and change nothing; null for never.</summary>
    internal int? DiesAt { get; set; }

    /// <summary>Called before each call that changes something, with its kind and path; throws to fail it.</summary>
    internal Action<string, string>? Before { get; set; }

    /// <summary>Called before a read of a file.</summary>
    internal Action<string>? BeforeRead { get; set; }

    /// <summary>What is not synced: numbers of changes, rising.</summary>
    internal IReadOnlyList<int> Unsynced
    {
        get
        {
            var found = new SortedSet<int>();
            Collect(_root, found);
            return [.. found];
        }
    }

    /// <summary>What the device has after a crash.</summary>
    /// <param name="keeps">Says of a change that was not synced whether it is there.</param>
    internal LosingFiles Crash(Func<int, bool> keeps)
    {
        // A rename is two entries of a directory, and one change.
        var kept = Unsynced.Where(keeps).ToHashSet();
        var after = new LosingFiles { Capacity = Capacity };
        Copy(_root, after._root, kept.Contains, []);
        after._used = after.Sum(after._root);
        return after;
    }

    public void MakeFolder(string path)
    {
        lock (_gate)
        {
            if (Find(path) is FolderNode)
            {
                return;
            }

            Begin("make folder", path);
            FolderNode at = _root;
            foreach (string name in Names(path))
            {
                if (!at.Now.TryGetValue(name, out object? next))
                {
                    at.Set(name, next = new FolderNode(), ++_operations);
                }

                at = (FolderNode)next;
            }
        }
    }

    public Stream Create(string path)
    {
        lock (_gate)
        {
            Begin("create", path);
            var file = new FileNode();
            _used -= (Find(path) as FileNode)?.Content.Length ?? 0;
            Parent(path).Set(Path.GetFileName(path), file, ++_operations);
            return new Writer(this, path, file);
        }
    }

    public void Sync(Stream stream)
    {
        lock (_gate)
        {
            var writer = (Writer)stream;
            Begin("sync", writer.Path);
            writer.File.Durable = writer.File.Content.ToArray();
            writer.File.Change = 0;
        }
    }

    public Stream OpenRead(string path)
    {
        lock (_gate)
        {
            BeforeRead?.Invoke(path);
            return Find(path) switch
            {
                FileNode file => new Reader(this, path, file.Content.ToArray()),
                _ => throw new FileNotFoundException($"There is no {path}.", path),
            };
        }
    }

    public bool FolderExists(string path)
    {
        lock (_gate)
        {
            return Find(path) is FolderNode;
        }
    }

    public IReadOnlyList<string> FilesIn(string path) => Entries<FileNode>(path);

    public IReadOnlyList<string> FoldersIn(string path) => Entries<FolderNode>(path);

    public void MoveFile(string from, string to)
    {
        lock (_gate)
        {
            Begin("move", from);
            object node = Find(from) ?? throw new FileNotFoundException($"There is no {from}.", from);
            _used -= (Find(to) as FileNode)?.Content.Length ?? 0;
            _operations++;
            Parent(from).Set(Path.GetFileName(from), null, _operations);
            Parent(to).Set(Path.GetFileName(to), node, _operations);
        }
    }

    public void MoveFolder(string from, string to)
    {
        lock (_gate)
        {
            if (Find(to) is not null)
            {
                throw new IOException($"{to} is there already.");
            }

            MoveFile(from, to);
        }
    }

    public void DeleteFile(string path)
    {
        lock (_gate)
        {
            Begin("delete", path);
            if (Find(path) is FileNode file)
            {
                _used -= file.Content.Length;
                Parent(path).Set(Path.GetFileName(path), null, ++_operations);
            }
        }
    }

    public void DeleteFolder(string path)
    {
        lock (_gate)
        {
            Begin("delete folder", path);
            if (((FolderNode?)Find(path))?.Now.Count > 0)
            {
                throw new IOException($"{path} is not empty.");
            }

            Parent(path).Set(Path.GetFileName(path), null, ++_operations);
        }
    }

    public void SyncFolder(string path)
    {
        lock (_gate)
        {
            Begin("sync folder", path);
            ((FolderNode?)Find(path) ?? throw new DirectoryNotFoundException($"There is no {path}.")).Sync();
        }
    }

    public IDisposable? TryLock(string path)
    {
        lock (_gate)
        {
            if (_locked)
            {
                return null;
            }

            _locked = true;
            return new Releaser(this);
        }
    }

    public long? FreeBytes(string path) => Capacity - _used;

    private static string[] Names(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries);

    private static void Collect(FolderNode folder, SortedSet<int> found)
    {
        found.UnionWith(folder.Pending.Select(p => p.Change));
        foreach (object node in folder.Now.Values.Concat(folder.Pending.Select(p => p.Node).OfType<object>()))
        {
            if (node is FolderNode inner)
            {
                Collect(inner, found);
            }
            else if (((FileNode)node).Change is var change and > 0)
            {
                _ = found.Add(change);
            }
        }
    }

    private static void Copy(FolderNode from, FolderNode to, Func<int, bool> keeps, Dictionary<object, object> copies)
    {
        var names = new Dictionary<string, object>(from.Durable);
        foreach ((string name, object? node, int change) in from.Pending.Where(p => keeps(p.Change)))
        {
            if (node is null)
            {
                _ = names.Remove(name);
            }
            else
            {
                names[name] = node;
            }
        }

        foreach ((string name, object node) in names)
        {
            if (!copies.TryGetValue(node, out object? copy))
            {
                copies[node] = copy = node is FolderNode ? new FolderNode() : new FileNode();
                if (node is FolderNode folder)
                {
                    Copy(folder, (FolderNode)copy, keeps, copies);
                }
                else
                {
                    var file = (FileNode)node;
                    byte[] content = file.Change == 0 || keeps(file.Change) ? file.Content.ToArray() : file.Durable;
                    ((FileNode)copy).Content.Write(content);
                    ((FileNode)copy).Durable = content;
                }
            }

            to.Now[name] = copy;
            to.Durable[name] = copy;
        }
    }

    private long Sum(FolderNode folder) => folder.Now.Values.Sum(n => n is FileNode f ? f.Content.Length : Sum((FolderNode)n));

    private void Begin(string what, string path)
    {
        Calls++;
        if (Calls > DiesAt)
        {
            throw new IOException("the machine is dead");
        }

        Before?.Invoke(what, path);
    }

    private object? Find(string path)
    {
        object? at = _root;
        foreach (string name in Names(path))
        {
            at = (at as FolderNode)?.Now.GetValueOrDefault(name);
        }

        return at;
    }

    private FolderNode Parent(string path) => Find(Path.GetDirectoryName(path)!) as FolderNode
        ?? throw new DirectoryNotFoundException($"There is no directory for {path}.");

    private string[] Entries<T>(string path)
    {
        lock (_gate)
        {
            return Find(path) is FolderNode folder
                ? [.. folder.Now.Where(e => e.Value is T).Select(e => Path.Combine(path, e.Key)).Order(StringComparer.Ordinal)]
                : throw new DirectoryNotFoundException($"There is no {path}.");
        }
    }

    private void Write(Writer writer, ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            Begin("write", writer.Path);
            if (Capacity - _used < data.Length)
            {
                // As much as fits is written, and takes its room.
                data = data[..(int)(Capacity!.Value - _used)];
                Append(writer.File, data);
                throw new IOException($"No space left on device : '{writer.Path}'", 28);
            }

            Append(writer.File, data);
        }
    }

    private void Append(FileNode file, ReadOnlySpan<byte> data)
    {
        if (file.Change == 0)
        {
            file.Change = ++_operations;
        }

        file.Content.Write(data);
        _used += data.Length;
        Written += data.Length;
    }

    private sealed class FileNode
    {
        internal MemoryStream Content { get; } = new();

        internal byte[] Durable { get; set; } = [];

        internal int Change { get; set; }
    }

    private sealed class FolderNode
    {
        internal Dictionary<string, object> Now { get; } = new(StringComparer.Ordinal);

        internal Dictionary<string, object> Durable { get; } = new(StringComparer.Ordinal);

        internal List<(string Name, object? Node, int Change)> Pending { get; } = [];

        internal void Set(string name, object? node, int change)
        {
            Pending.Add((name, node, change));
            if (node is null)
            {
                _ = Now.Remove(name);
            }
            else
            {
                Now[name] = node;
            }
        }

        internal void Sync()
        {
            Pending.Clear();
            Durable.Clear();
            foreach ((string name, object node) in Now)
            {
                Durable[name] = node;
            }
        }
    }

    private sealed class Writer(LosingFiles files, string path, FileNode file) : MemoryStream
    {
        internal string Path => path;

        internal FileNode File => file;

        public override long Length => file.Content.Length;

        public override void Write(ReadOnlySpan<byte> buffer) => files.Write(this, buffer);

        public override void Write(byte[] buffer, int offset, int count) => files.Write(this, buffer.AsSpan(offset, count));

        public override void WriteByte(byte value) => files.Write(this, [value]);
    }

    private sealed class Reader(LosingFiles files, string path, byte[] content) : MemoryStream(content, writable: false)
    {
        public override int Read(Span<byte> buffer)
        {
            files.BeforeRead?.Invoke(path);
            return base.Read(buffer);
        }
    }

    private sealed class Releaser(LosingFiles files) : IDisposable
    {
        public void Dispose() => files._locked = false;
    }
}
