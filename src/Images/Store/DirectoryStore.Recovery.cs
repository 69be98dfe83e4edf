using System.Globalization;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Verification;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Reading the directory, and removing what interrupted changes left in it.</summary>
public sealed partial class DirectoryStore
{
    private const int EpochDigits = 20;

    /// <summary>Reads a manifest's file.</summary>
    /// <exception cref="ImageCorruptException">It is missing or damaged.</exception>
    internal CheckpointManifest ReadManifest(string path)
    {
        byte[] bytes;
        try
        {
            bytes = ReopeningStream.Again(() => ReadUpTo(path, ManifestFile.MaxLength + 1));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ImageCorruptException(path, 0, "the manifest is missing", e);
        }

        if (bytes.Length > ManifestFile.MaxLength)
        {
            throw new ImageCorruptException(path, 0, $"a manifest of more than {ManifestFile.MaxLength} bytes is not possible");
        }

        return ManifestFile.Decode(bytes, path);
    }

    private byte[] ReadUpTo(string path, int length)
    {
        var bytes = new MemoryStream();
        byte[] buffer = new byte[64 << 10];
        using Stream file = Files.OpenRead(path);
        for (int read = 1; read > 0 && bytes.Length < length;)
        {
            read = file.Read(buffer, 0, (int)Math.Min(buffer.Length, length - bytes.Length));
            bytes.Write(buffer, 0, read);
        }

        return bytes.ToArray();
    }

    /// <summary>Removes a folder with all that is in it.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="removed">Called after each file; may be null.</param>
    /// <returns>False where something is left that NFS holds for a reader; the next writer tries again.</returns>
    internal bool DeleteTree(string folder, Action? removed = null)
    {
        bool held = false;
        foreach (string inner in Files.FoldersIn(folder))
        {
            held |= !DeleteTree(inner, removed);
        }

        foreach (string file in Files.FilesIn(folder))
        {
            if (IsHeld(file))
            {
                held = true;
                continue;
            }

            Files.DeleteFile(file);
            removed?.Invoke();
        }

        // Removing a file that a process of this host has open makes such a name.
        held = held || Files.FilesIn(folder).Any(IsHeld);
        if (!held)
        {
            Files.DeleteFolder(folder);
        }

        return !held;
    }

    private static bool IsHeld(string file) => Path.GetFileName(file).StartsWith(HeldPrefix, StringComparison.Ordinal);

    private void Load(bool recover, Action? progress = null)
    {
        var found = new List<CheckpointManifest>();
        var problems = new List<Finding>();
        var expendable = new List<ulong>();
        ulong highest = 0;
        foreach (string folder in Files.FoldersIn(Root).Order(StringComparer.Ordinal))
        {
            progress?.Invoke();
            string name = Path.GetFileName(folder);
            bool leftover = name.EndsWith(TemporarySuffix, StringComparison.Ordinal)
                || name.EndsWith(RemovalSuffix, StringComparison.Ordinal);
            if (!TryParseEpoch(leftover ? name[..^TemporarySuffix.Length] : name, out ulong epoch))
            {
                continue;
            }

            if (leftover)
            {
                if (recover && DeleteTree(folder))
                {
                    _recovered.Add(folder);
                }
                else if (recover)
                {
                    // The folder's name is taken.
                    highest = Math.Max(highest, epoch);
                }

                continue;
            }

            highest = Math.Max(highest, epoch);
            if (TryRead(folder, epoch, problems) is { } manifest)
            {
                found.Add(manifest);
                IReadOnlyList<string> files = FilesOf(folder);
                if (files.Any(f => Path.GetFileName(f) == ExpendableName))
                {
                    expendable.Add(epoch);
                }

                if (recover)
                {
                    RemoveUnnamed(files, manifest);
                }
            }
        }

        RefuseTwins(found, problems);
        lock (_lock)
        {
            _highest = Math.Max(_highest, highest);
            _checkpoints = [.. found.OrderBy(m => m.Epoch)];
            _problems = problems;
            _expendable.Clear();
            _expendable.UnionWith(expendable);
        }
    }

    // None where a writer removed it meanwhile.
    private IReadOnlyList<string> FilesOf(string folder)
    {
        try
        {
            return Files.FilesIn(folder);
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    // Which of two checkpoints with one identity is meant by what builds upon it cannot be known.
    private void RefuseTwins(List<CheckpointManifest> found, List<Finding> problems)
    {
        var twins = found.GroupBy(m => m.Id).Where(g => g.Count() > 1).SelectMany(g => g).ToList();
        problems.AddRange(twins.Select(m => new Finding(
            PathOf(m.Epoch, ManifestFile.Name), 0, $"checkpoint {m.Id} is in the store more than once")));
        _ = found.RemoveAll(twins.Contains);
    }

    private CheckpointManifest? TryRead(string folder, ulong epoch, List<Finding> problems)
    {
        string path = Path.Combine(folder, ManifestFile.Name);
        try
        {
            CheckpointManifest manifest = ReadManifest(path);
            return manifest.Epoch == epoch
                ? manifest
                : throw new ImageCorruptException(path, 0, $"the manifest is that of epoch {manifest.Epoch}");
        }
        catch (ImageException) when (!Files.FolderExists(folder))
        {
            // Removed by a writer meanwhile.
            return null;
        }
        catch (ImageException e)
        {
            problems.Add(new Finding(path, e.Offset, e.Problem));
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            problems.Add(new Finding(path, 0, e.Message.TrimEnd('.')));
            return null;
        }
    }

    // Only files with names that this software gives: others are somebody's.
    private void RemoveUnnamed(IReadOnlyList<string> files, CheckpointManifest manifest)
    {
        var named = manifest.Files.ToHashSet(StringComparer.Ordinal);
        foreach (string path in files)
        {
            string name = Path.GetFileName(path);
            bool temporary = name.EndsWith(TemporarySuffix, StringComparison.Ordinal);
            string final = temporary ? name[..^TemporarySuffix.Length] : name;
            if (temporary ? PartNames.IsImage(final) || final == ManifestFile.Name
                : PartNames.IsImage(name) && !named.Contains(name))
            {
                Files.DeleteFile(path);
                _recovered.Add(path);
            }
        }
    }

    private static bool TryParseEpoch(string name, out ulong epoch)
    {
        epoch = 0;
        return name.Length == EpochDigits
            && ulong.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out epoch);
    }
}
