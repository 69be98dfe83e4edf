using System.Text.RegularExpressions;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>The directories of this host: what <c>xtlctl disk</c> does with them.</summary>
/// <param name="registry">The host's record.</param>
/// <remarks>The record is changed before a layer is made, so that one whose making was interrupted is known.</remarks>
public sealed partial class OverlayDirectories(DiskRegistry registry)
{
    /// <summary>Where directories are made when nothing else is said.</summary>
    public const string DefaultPlace = "/var/lib/xtlckpt/dirs";

    /// <summary>The options of a mount name every layer and fit into a page.</summary>
    private const int MaxRootLength = (Mounts.MaxOptions / (DirectoryDisk.MaxLayers + 8)) - 20;

    /// <summary>The record.</summary>
    public DiskRegistry Registry => registry;

    /// <summary>Fault points of the tests.</summary>
    internal Action<DirectoryStep>? Fault { get; set; }

    /// <summary>Makes an empty directory, and mounts it.</summary>
    /// <param name="name">Its name, as of a volume.</param>
    /// <param name="root">The folder for all of it, which is missing or empty; null for one of the name in
    /// <see cref="DefaultPlace"/>.</param>
    /// <exception cref="DiskException">The name is taken, or the folder cannot hold layers.</exception>
    public DirectoryRecord Create(string name, string? root) => Make(name, root, _ => { });

    /// <summary>Makes a directory with a copy of another one, which is only read.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="root">The folder, as for <see cref="Create"/>.</param>
    /// <param name="source">The directory; nobody changes it meanwhile.</param>
    /// <exception cref="DiskException">The directory cannot be made, or holds what a layer cannot.</exception>
    /// <exception cref="IOException">The source cannot be read.</exception>
    public DirectoryRecord Adopt(string name, string? root, string source)
    {
        string from = RawPath.From(Path.GetFullPath(source).TrimEnd('/'));
        if (RawFiles.TryStatTarget(from) is not { Type: RawFileType.Directory })
        {
            throw new DiskException($"{source} is no directory.");
        }

        if ($"{RootOf(name, root)}/".StartsWith($"{RawPath.ToText(from)}/", StringComparison.Ordinal))
        {
            throw new DiskException($"{source} would be copied into itself. '--at PATH' names another place.");
        }

        return Make(name, root, places =>
        {
            Trees.Copy(from, places.Layer(1));
            RaiseLinked(places, [new LayerRecord(1, Guid.Empty)], 2);
        });
    }

    /// <summary>Removes a directory and what it holds.</summary>
    /// <param name="name">The directory.</param>
    /// <exception cref="DiskException">Somebody uses it, or a restore kept what it was before.</exception>
    public void Remove(string name)
    {
        DirectoryRecord record = registry.Read().Directory(name);
        if (record.Kept.Count > 0)
        {
            throw new DiskException(
                $"Directory {name} has {record.Kept.Count} earlier state(s) that restores kept. 'xtlctl disk remove {name} "
                + "--kept' drops them.");
        }

        RequireUnused(record);
        Forget(record);
    }

    /// <summary>Drops what restores kept of a directory.</summary>
    /// <param name="name">The directory.</param>
    /// <returns>How many states were dropped.</returns>
    public int RemoveKept(string name)
    {
        int count = 0;
        _ = registry.Update(s =>
        {
            DirectoryRecord now = s.Directory(name);
            count = now.Kept.Count;
            return s.With(now with { Kept = [], Unwanted = [.. now.Unwanted.Union(now.Kept.SelectMany(IdsOf))] });
        });
        Purge(name);
        return count;
    }

    /// <summary>Mounts all directories, for instance after the host was booted.</summary>
    /// <returns>What could not be mounted, as sentences.</returns>
    public IReadOnlyList<string> ActivateAll()
    {
        var problems = new List<string>();
        foreach (DirectoryRecord record in registry.Read().Directories)
        {
            try
            {
                Activate(Settle(record.Name));
                Purge(record.Name);
            }
            catch (Exception e) when (e is DiskException or IOException)
            {
                problems.Add($"Directory {record.Name}: {e.Message}");
            }
        }

        return problems;
    }

    /// <summary>Says what a directory does: <c>free</c>, <c>in use</c> or <c>inactive</c>.</summary>
    /// <param name="record">The directory.</param>
    public static string StateOf(DirectoryRecord record)
    {
        var places = new DirectoryPlaces(record);
        return places.MountedUpper() is null ? "inactive"
            : DirectoryUsers.Find(places.Export, places.Data).Count > 0 ? "in use" : "free";
    }

    /// <summary>Makes the record say what was done, where a process ended in the middle of a checkpoint.</summary>
    /// <param name="name">The directory.</param>
    /// <returns>The record.</returns>
    internal DirectoryRecord Settle(string name)
    {
        DirectoryRecord record = registry.Read().Directory(name);
        if (record.Pending is not { } pending)
        {
            return record;
        }

        // The mounts know. After a boot there are none, but marks.
        var places = new DirectoryPlaces(record);
        bool replaced = places.MountedUpper() is { } mounted
            ? mounted == pending.Upper
            : places.WasLive(pending.Upper);
        if (replaced)
        {
            places.MarkLive(pending.Upper);
            if (places.HasMount)
            {
                places.UnmountOthers();
            }

            UpperScan.Unshare(places.Layer(record.Upper), places.Layer(pending.Upper));
            CommitSeal(name);
        }
        else
        {
            DropPending(name);
        }

        return registry.Read().Directory(name);
    }

    /// <summary>The upper layer is sealed, and the pending one is the upper one.</summary>
    internal void CommitSeal(string name) => registry.Update(s =>
        s.Directory(name) is { Pending: { } pending } now
            ? s.With(now with
            {
                Layers = [.. now.Layers, new LayerRecord(now.Upper, pending.Checkpoint)],
                Upper = pending.Upper,
                Pending = null,
            })
            : s);

    /// <summary>The upper layer goes on.</summary>
    internal void DropPending(string name)
    {
        DirectoryPlaces places = new(registry.Read().Directory(name));

        // Before its layer is removed, the overlay that was to be is not mounted any more.
        if (places.HasMount)
        {
            places.UnmountOthers();
        }

        _ = registry.Update(s => s.Directory(name) is { Pending: { } pending } now
            ? s.With(now with { Pending = null, Unwanted = [.. now.Unwanted.Union([pending.Upper])] })
            : s);
    }

    /// <summary>Removes layers that nobody needs, as far as no mount has them.</summary>
    internal void Purge(string name)
    {
        DirectoryRecord record = registry.Read().Directory(name);
        if (record.Unwanted.Count == 0)
        {
            return;
        }

        var places = new DirectoryPlaces(record);
        HashSet<int> mounted = places.MountedLayers();
        int[] gone = [.. record.Unwanted.Where(id => !mounted.Contains(id))];
        Array.ForEach(gone, places.RemoveLayer);
        _ = registry.Update(s =>
        {
            DirectoryRecord now = s.Directory(name);
            return s.With(now with { Unwanted = [.. now.Unwanted.Except(gone)] });
        });
    }

    /// <summary>Makes fewer layers of those above the lowest one, where they are many. What is mounted stays mounted; the next
    /// seal mounts the merged layers.</summary>
    /// <param name="name">The directory.</param>
    /// <param name="limit">How many may stay.</param>
    /// <returns>The record.</returns>
    internal DirectoryRecord MergeLayers(string name, int limit)
    {
        DirectoryRecord record = registry.Read().Directory(name);
        if (record.Layers.Count - 1 < limit)
        {
            return record;
        }

        // What is in no image yet stays apart: it is the next increment.
        int end = record.Sealed is { } s ? record.Layers.ToList().FindIndex(l => l.Id == s.Layer) + 1 : record.Layers.Count;
        record = Merge(record, end, record.Layers.Count);
        return Merge(record, 1, end);
    }

    private DirectoryRecord Merge(DirectoryRecord record, int start, int end)
    {
        if (end - start < 2)
        {
            return record;
        }

        LayerRecord[] merged = [.. record.Layers.Take(end).Skip(start)];
        int id = NextLayer(record.Name);
        var places = new DirectoryPlaces(record);
        places.MakeLayer(id);
        LayerMerge.Merge([.. merged.Select(l => places.Layer(l.Id))], places.Layer(id));
        Fault?.Invoke(DirectoryStep.Merged);
        record = registry.Update(state =>
        {
            DirectoryRecord now = state.Directory(record.Name);
            return state.With(now with
            {
                Layers = [.. now.Layers.Take(start), new LayerRecord(id, merged[^1].SealedBy), .. now.Layers.Skip(end)],
                Sealed = now.Sealed is { } old && old.Layer == merged[^1].Id ? old with { Layer = id } : now.Sealed,
                Unwanted = [.. now.Unwanted.Except([id]).Union(merged.Select(l => l.Id))],
            });
        }).Directory(record.Name);
        Fault?.Invoke(DirectoryStep.MergeRecorded);
        return record;
    }

    /// <summary>Requires that no process uses a directory.</summary>
    /// <exception cref="DiskException">One does.</exception>
    internal static void RequireUnused(DirectoryRecord record)
    {
        var places = new DirectoryPlaces(record);
        if (DirectoryUsers.Find(places.Export, places.Data) is [{ } user, ..])
        {
            throw new DiskException(
                $"Directory {record.Name} is in use by process {user.Pid} ({user.Name}). End the domain or the program that "
                + "has it, and try again.");
        }
    }

    private static IEnumerable<int> IdsOf(KeptLayers kept) => [.. kept.Layers.Select(l => l.Id), kept.Upper];

    private static string RootOf(string name, string? root) => Path.GetFullPath(root ?? $"{DefaultPlace}/{name}");

    // An id that is unwanted until a record says what it is for: whoever ends here leaves nothing behind for good.
    private int NextLayer(string name) => registry.Update(s =>
    {
        DirectoryRecord now = s.Directory(name);
        return s.With(now with { LastId = now.LastId + 1, Unwanted = [.. now.Unwanted, now.LastId + 1] });
    }).Directory(name).LastId;

    private DirectoryRecord Make(string name, string? at, Action<DirectoryPlaces> fill)
    {
        DiskNames.Check(name);
        string root = RootOf(name, at);
        if (!Roots().IsMatch(root) || root.Length > MaxRootLength)
        {
            throw new DiskException(
                $"A directory of layers cannot be at '{root}': letters, digits, '/', '_', '.' and '-', {MaxRootLength} of them at "
                + "most. '--at PATH' names another place.");
        }

        _ = Directory.CreateDirectory(root);
        if (Directory.EnumerateFileSystemEntries(root).Any())
        {
            throw new DiskException($"{root} is not empty. '--at PATH' names another place.");
        }

        if (Resolve(root) is var real && real != root)
        {
            throw new DiskException($"{root} leads to {real}: name that with '--at'.");
        }

        DirectoryRecord record = registry.Update(s =>
        {
            if (s.Directories.Any(d => d.Name == name) || s.Volumes.Any(v => v.Name == name))
            {
                throw new DiskException($"There is a volume or directory {name} already.");
            }

            if (s.Directories.FirstOrDefault(d => Overlap(d.Root, root)) is { } old)
            {
                throw new DiskException($"{root} overlaps with directory {old.Name} at {old.Root}.");
            }

            // The lowest layer has nothing for now: an overlay needs one.
            return s.With(new DirectoryRecord(name, root, 2, [new LayerRecord(1, Guid.NewGuid())], 2, null, null, [], [], []));
        }).Directory(name);
        try
        {
            var places = new DirectoryPlaces(record);
            places.MakeFolders();
            places.MakeLayer(1);
            places.MakeLayer(2);
            RequireAbilities(places);
            fill(places);
            places.MarkLive(2);
            Activate(record);
            return record;
        }
        catch
        {
            Forget(record);
            throw;
        }
    }

    private static bool Overlap(string one, string other) =>
        $"{one}/".StartsWith($"{other}/", StringComparison.Ordinal)
        || $"{other}/".StartsWith($"{one}/", StringComparison.Ordinal);

    private static string Resolve(string path)
    {
        string real = "";
        foreach (string part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            string next = $"{real}/{part}";
            real = Directory.ResolveLinkTarget(next, returnFinalTarget: true)?.FullName ?? next;
        }

        return real;
    }

    private static void RequireAbilities(DirectoryPlaces places)
    {
        string probe = $"{places.Layer(2)}/probe";
        try
        {
            using (RawFiles.Create(probe))
            {
                RawAttributes.Set(probe, "trusted.xtl-probe", "y"u8);
            }

            using (Microsoft.Win32.SafeHandles.SafeFileHandle file = RawFiles.OpenToRead(probe))
            {
                _ = FileContents.IsOpenToWrite(file);
            }

            RawFiles.Remove(probe);
        }
        catch (IOException e)
        {
            throw new DiskException(
                $"The file system at {RawPath.ToText(places.Root)} cannot hold layers: it needs trusted attributes and leases, "
                + $"as ext4, XFS and btrfs have them. {e.Message}", e);
        }
    }

    private static void Activate(DirectoryRecord record)
    {
        var places = new DirectoryPlaces(record);
        places.MountPlaces();
        if (places.MountedUpper() is not { } mounted)
        {
            places.MarkLive(record.Upper);
            places.MountData(places.Options(record.Layers, record.Upper));
        }
        else if (mounted != record.Upper)
        {
            throw new DiskException(
                $"layer {mounted} is mounted at {record.Path}/data, and the record says that it is {record.Upper}. Destroy the "
                + $"domain that uses it, 'umount {record.Root}/mnt', and try again.");
        }
    }

    private void Forget(DirectoryRecord record)
    {
        var places = new DirectoryPlaces(record);
        places.UnmountAll();
        RawFiles.RemoveTree(places.Root);
        _ = registry.Update(s => s.Without(record));
    }

    [GeneratedRegex("^(/[A-Za-z0-9_.-]+)+$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Roots();
}
