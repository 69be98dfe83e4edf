using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>A new checkpoint, or other images for one that exists, in a <see cref="DirectoryStore"/>.</summary>
internal sealed class DirectoryTransaction : ICheckpointTransaction
{
    private readonly DirectoryStore _store;
    private readonly ulong _epoch;
    private readonly CheckpointManifest? _old;
    private readonly Dictionary<string, Stream> _files = new(StringComparer.Ordinal);

    // Where files are made: the temporary folder of a new checkpoint, or the folder of one that exists.
    private readonly string _folder;
    private readonly List<Guid> _protected = [];
    private bool _renamed;
    private bool _committed;

    internal DirectoryTransaction(DirectoryStore store, ulong epoch, CheckpointManifest? old)
    {
        _store = store;
        _epoch = epoch;
        _old = old;
        string final = store.FolderOf(epoch);
        _folder = old is null ? final + DirectoryStore.TemporarySuffix : final;
        if (old is null)
        {
            RemoveLeftover(final);
            Files.MakeFolder(_folder);
            try
            {
                store.At(CommitStep.FolderMade);
            }
            catch
            {
                Discard();
                throw;
            }
        }
    }

    public Stream Create(string file)
    {
        if (!PartNames.IsImage(file) || (_old is not null && _old.Files.Contains(file, StringComparer.Ordinal)))
        {
            throw new ArgumentException($"{file} is not a new image's name.", nameof(file));
        }

        lock (_files)
        {
            if (_files.ContainsKey(file))
            {
                throw new ArgumentException($"{file} exists already.", nameof(file));
            }

            // One may be left that could not be removed when it should have been.
            Stream stream = Files.Create(Temporary(file));
            _files.Add(file, stream);
            try
            {
                _store.At(CommitStep.ImageMade);
                return stream;
            }
            catch
            {
                Remove(file);
                throw;
            }
        }
    }

    public void Remove(string file)
    {
        lock (_files)
        {
            if (!_files.Remove(file, out Stream? stream))
            {
                throw new KeyNotFoundException($"{file} was not created here.");
            }

            stream.Dispose();
            try
            {
                Files.DeleteFile(Temporary(file));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The storage is away. The next file of that name takes its place.
            }
        }
    }

    public bool Protect(Guid checkpoint)
    {
        lock (_files)
        {
            bool there = _store.TryProtect(checkpoint);
            if (there)
            {
                _protected.Add(checkpoint);
            }

            return there;
        }
    }

    public void Commit(CheckpointManifest manifest)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        Check(manifest);
        _store.At(CommitStep.ImagesWritten);
        foreach (Stream stream in _files.Values)
        {
            Files.Sync(stream);
            stream.Dispose();
        }

        _store.At(CommitStep.ImagesSynced);
        if (_old is not null)
        {
            foreach (string file in _files.Keys)
            {
                Files.MoveFile(Temporary(file), Path.Combine(_folder, file));
            }

            _store.At(CommitStep.ImagesNamed);
        }

        Files.SyncFolder(_folder);
        _store.At(CommitStep.NamesSynced);
        WriteManifest(manifest);
        if (_old is null)
        {
            Files.SyncFolder(_folder);
            Rename(_folder, _store.FolderOf(_epoch));
            Files.SyncFolder(_store.Root);
        }
        else
        {
            Rename(Temporary(ManifestFile.Name), Path.Combine(_folder, ManifestFile.Name));
            Files.SyncFolder(_folder);
        }

        _committed = true;
        _store.Put(manifest);
        _store.At(CommitStep.Durable);
        RemoveGarbage(manifest);
    }

    public void Dispose()
    {
        foreach (Stream stream in _files.Values)
        {
            stream.Dispose();
        }

        if (!_committed)
        {
            Discard();
        }

        _store.Close(_epoch, _protected);
        _protected.Clear();
    }

    private IFileLayer Files => _store.Files;

    private string Temporary(string file) =>
        Path.Combine(_folder, _old is null ? file : file + DirectoryStore.TemporarySuffix);

    private void Check(CheckpointManifest manifest)
    {
        if (_committed || manifest.Epoch != _epoch || (_old is not null && manifest.Id != _old.Id))
        {
            throw new ArgumentException("The manifest belongs to another checkpoint.", nameof(manifest));
        }

        if (ManifestReader.Problem(manifest) is { } problem)
        {
            throw new ArgumentException($"The manifest is not possible: {problem}.", nameof(manifest));
        }

        foreach (ManifestPart part in manifest.Entries.SelectMany(d => d.Parts))
        {
            bool there = _files.TryGetValue(part.File, out Stream? stream)
                ? stream.Length == part.Length
                : _old?.Entries.SelectMany(d => d.Parts).Contains(part) == true;
            if (!there)
            {
                throw new ArgumentException($"The manifest names {part.File}, which is not there.", nameof(manifest));
            }
        }

        if (_files.Keys.Except(manifest.Files, StringComparer.Ordinal).Any())
        {
            throw new ArgumentException("The manifest does not name all files.", nameof(manifest));
        }
    }

    private void WriteManifest(CheckpointManifest manifest)
    {
        using Stream stream = Files.Create(Temporary(ManifestFile.Name));
        stream.Write(ManifestFile.Encode(manifest));
        _store.At(CommitStep.ManifestWritten);
        Files.Sync(stream);
        _store.At(CommitStep.ManifestSynced);
    }

    private void Rename(string from, string to)
    {
        if (_old is null)
        {
            Files.MoveFolder(from, to);
        }
        else
        {
            Files.MoveFile(from, to);
        }

        _renamed = true;
        _store.At(CommitStep.Renamed);
    }

    // Only after the manifest that does not name them any more is durable.
    private void RemoveGarbage(CheckpointManifest manifest)
    {
        if (_old is null)
        {
            return;
        }

        foreach (string file in _old.Files.Except(manifest.Files, StringComparer.Ordinal))
        {
            Files.DeleteFile(Path.Combine(_folder, file));
            _store.At(CommitStep.GarbageRemoved);
        }
    }

    // Of a transaction that failed together with the storage under it, so that it could not be discarded: the epoch is not
    // taken, and would never be again.
    private void RemoveLeftover(string final)
    {
        if (Files.FolderExists(_folder))
        {
            _ = _store.DeleteTree(_folder);
        }

        if (Files.FolderExists(final))
        {
            Files.MoveFolder(final, _folder);
            Files.SyncFolder(_store.Root);
            _ = _store.DeleteTree(_folder);
        }
    }

    // What cannot be removed here is removed when the epoch is begun again, or the store opened the next time.
    private void Discard()
    {
        try
        {
            if (_old is null)
            {
                if (_renamed)
                {
                    // Not known to be durable, and reported as failed: it must not come back as a checkpoint.
                    Files.MoveFolder(_store.FolderOf(_epoch), _folder);
                    Files.SyncFolder(_store.Root);
                }

                _ = _store.DeleteTree(_folder);
                return;
            }

            DiscardRewrite();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return;
        }
    }

    private void DiscardRewrite()
    {
        if (_renamed)
        {
            // Either manifest may survive a crash now, so the files of both stay; what is read here is the new one.
            _store.Put(_store.ReadManifest(Path.Combine(_folder, ManifestFile.Name)));
            return;
        }

        Files.DeleteFile(Temporary(ManifestFile.Name));
        foreach (string file in _files.Keys)
        {
            Files.DeleteFile(Temporary(file));
            Files.DeleteFile(Path.Combine(_folder, file));
        }
    }
}
