using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>Where the parts of a directory are, as raw paths, and what is mounted there.</summary>
/// <remarks>
/// A private tmpfs at <c>mnt</c> has the exported directory and places for mounts. The server of a guest keeps the
/// exported directory open and walks every name from it, so what is mounted at <c>data</c> below it can be replaced. The
/// tmpfs is read-only: a guest cannot make files beside <c>data</c>, where no checkpoint would see them.
/// </remarks>
internal sealed class DirectoryPlaces
{
    private const string Overlay = "overlay", Tmpfs = "tmpfs";

    internal DirectoryPlaces(DirectoryRecord record)
    {
        Root = RawPath.From(record.Root);
    }

    internal string Root { get; }

    internal string Mount => $"{Root}/mnt";

    internal string Export => $"{Root}/{DirectoryRecord.ExportPath}";

    internal string Data => $"{Export}/data";

    /// <summary>Where a new overlay is mounted before it takes the place of the old one.</summary>
    internal string New => $"{Mount}/new";

    /// <summary>Where the old overlay goes.</summary>
    internal string Old => $"{Mount}/old";

    /// <summary>Where layers are mounted together to be read.</summary>
    internal string View => $"{Mount}/view";

    internal bool HasMount => Mounts.Read().Any(m => m.Point == Mount);

    internal string Layer(int id) => $"{Root}/layers/{id}";

    internal string Work(int id) => $"{Root}/work/{id}";

    /// <summary>Copies of open files while a layer is sealed.</summary>
    internal string Copies(int id) => $"{Root}/copies/{id}";

    /// <summary>Is there once a layer is the upper one.</summary>
    internal string Mark(int id) => $"{Root}/live/{id}";

    /// <summary>Is there when a layer is about to become the upper one.</summary>
    internal string NextMark(int id) => $"{Root}/live/{id}.next";

    /// <summary>Whether a layer was the upper one before the host was booted.</summary>
    /// <remarks>Where a process ended between both marks, all files of the layer are files of the one below as well.
    /// Only where names were made or taken away in it, it was in use.</remarks>
    internal bool WasLive(int id) => RawFiles.TryStat(Mark(id)) is not null
        || (RawFiles.TryStat(NextMark(id)) is { } next && HasNewNames(Layer(id), next.Changed));

    /// <summary>The options of an overlay.</summary>
    internal string Options(IEnumerable<LayerRecord> layers, int upper) =>
        $"{OverlayNames.Options},lowerdir={Lower(layers)},upperdir={Layer(upper)},workdir={Work(upper)}";

    /// <summary>The options of a mount of layers that cannot be written.</summary>
    internal string ViewOptions(IEnumerable<LayerRecord> layers) => $"{OverlayNames.Options},lowerdir={Lower(layers)}";

    /// <summary>The upper layer of what is mounted, or null where nothing is.</summary>
    internal int? MountedUpper() => Mounts.Read().LastOrDefault(m => m.Point == Data && m.Type == Overlay) is { } mount
        && IdsOf(mount.Options, "upperdir").ToArray() is [int upper]
            ? upper
            : null;

    /// <summary>All layers that mounts of this directory use.</summary>
    internal HashSet<int> MountedLayers() =>
    [
        .. Mounts.Read().Where(m => m.Type == Overlay && m.Point.StartsWith(Mount + "/", StringComparison.Ordinal))
            .SelectMany(m => IdsOf(m.Options, "upperdir").Concat(IdsOf(m.Options, "lowerdir"))),
    ];

    /// <summary>Makes the folders.</summary>
    internal void MakeFolders()
    {
        foreach (string folder in new[] { "layers", "work", "copies", "live", "mnt" })
        {
            string path = $"{Root}/{folder}";
            if (RawFiles.TryStat(path) is null)
            {
                RawFiles.MakeDirectory(path);
            }
        }
    }

    /// <summary>Makes an empty layer with what an overlay needs to write it.</summary>
    internal void MakeLayer(int id)
    {
        RawFiles.RemoveTree(Layer(id));
        RawFiles.RemoveTree(Work(id));
        RawFiles.MakeDirectory(Layer(id));
        RawFiles.SetPermissions(Layer(id), 493 /* 0755 */);
        RawFiles.MakeDirectory(Work(id));
    }

    /// <summary>Removes what there is of a layer.</summary>
    internal void RemoveLayer(int id)
    {
        RawFiles.RemoveTree(Copies(id));
        RawFiles.RemoveTree(Layer(id));
        RawFiles.RemoveTree(Work(id));
        RawFiles.RemoveTree(Mark(id));
        RawFiles.RemoveTree(NextMark(id));
    }

    /// <summary>Marks a layer as one that was the upper one.</summary>
    internal void MarkLive(int id)
    {
        if (RawFiles.TryStat(Mark(id)) is null)
        {
            RawFiles.MakeDirectory(Mark(id));
        }
    }

    /// <summary>Mounts the tmpfs where it is not.</summary>
    internal void MountPlaces()
    {
        if (HasMount)
        {
            return;
        }

        // Beside five directories nothing is ever in it.
        Mounts.Mount(Tmpfs, Mount, "mode=0755,size=64k");
        try
        {
            Mounts.MakePrivate(Mount);
            foreach (string path in new[] { Export, Data, New, Old, View })
            {
                RawFiles.MakeDirectory(path);
                RawFiles.SetPermissions(path, 493 /* 0755 */);
            }

            Mounts.MakeReadOnly(Tmpfs, Mount);
        }
        catch
        {
            Mounts.Unmount(Mount);
            throw;
        }
    }

    /// <summary>Mounts layers at <c>data</c> in the place of what is there.</summary>
    internal void MountData(string options)
    {
        MountPlaces();
        UnmountOthers();
        MountNew(options);
        if (MountedUpper() is not null)
        {
            Replace();
            UnmountOthers();
        }
        else
        {
            Mounts.Move(New, Data);
        }
    }

    /// <summary>Mounts an overlay beside the present one.</summary>
    internal void MountNew(string options) => Mounts.Mount(Overlay, New, options);

    /// <summary>Puts the new overlay in the place of the present one, which goes to <see cref="Old"/>.</summary>
    internal void Replace()
    {
        Mounts.Move(Data, Old);
        try
        {
            Mounts.Move(New, Data);
        }
        catch
        {
            Mounts.Move(Old, Data);
            throw;
        }
    }

    /// <summary>Unmounts the overlay that was replaced, and one that was to replace it. Files that are open in them stay
    /// open.</summary>
    internal void UnmountOthers()
    {
        UnmountLeft(New);
        UnmountLeft(Old);
    }

    /// <summary>Unmounts everything.</summary>
    internal void UnmountAll()
    {
        if (HasMount)
        {
            Mounts.Unmount(Mount);
        }
    }

    /// <summary>Reads layers as a guest would see them.</summary>
    /// <param name="layers">The layers, the lowest first.</param>
    /// <param name="read">Receives the tree's raw path.</param>
    internal void ReadTogether(IReadOnlyList<LayerRecord> layers, Action<string> read)
    {
        if (layers.Count == 1)
        {
            // An overlay that cannot be written has two layers at least.
            read(Layer(layers[0].Id));
            return;
        }

        MountPlaces();
        UnmountLeft(View);
        Mounts.Mount(Overlay, View, ViewOptions(layers), readOnly: true);
        try
        {
            read(View);
        }
        finally
        {
            UnmountLeft(View);
        }
    }

    private static bool HasNewNames(string directory, RawTime since) => RawFiles.Stat(directory).Changed.IsAfter(since)
        || RawFiles.List(directory).Any(n => RawFiles.Stat($"{directory}/{n}").Type == RawFileType.Directory
            && HasNewNames($"{directory}/{n}", since));

    private static void UnmountLeft(string point)
    {
        while (Mounts.Read().Any(m => m.Point == point))
        {
            Mounts.Unmount(point);
        }
    }

    private string Lower(IEnumerable<LayerRecord> layers) => string.Join(':', layers.Reverse().Select(l => Layer(l.Id)));

    private IEnumerable<int> IdsOf(string options, string option) => options.Split(',')
        .Where(o => o.StartsWith($"{option}=", StringComparison.Ordinal))
        .SelectMany(o => o[(option.Length + 1)..].Split(':'))
        .Select(p => p.StartsWith($"{Root}/layers/", StringComparison.Ordinal)
            && int.TryParse(p.AsSpan(Root.Length + 8), out int id) ? id : -1)
        .Where(id => id >= 0);
}
