using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>Copies of files and trees with owners, modes, attributes, links and times. Raw paths.</summary>
internal static class Trees
{
    /// <summary>Gives a file what another one is beside its contents. Not its mark of an opaque directory.</summary>
    /// <param name="from">The one.</param>
    /// <param name="to">The other.</param>
    /// <param name="stat">What <paramref name="from"/> is.</param>
    /// <param name="seen">The one is in a tree as a guest sees it, and not in a layer.</param>
    internal static void CopyAttributes(string from, string to, in RawStat stat, bool seen = false)
    {
        RawFiles.SetOwner(to, stat.Owner, stat.Group);
        if (stat.Type != RawFileType.Symlink)
        {
            RawFiles.SetPermissions(to, stat.Permissions);
        }

        foreach ((string name, byte[] value) in LayerStream.Attributes(from, seen))
        {
            if (name != OverlayNames.Opaque)
            {
                RawAttributes.Set(to, name, value);
            }
        }

        RawFiles.SetModified(to, stat.Modified);
    }

    /// <summary>Copies a regular file; shares its octets where the file system can.</summary>
    /// <param name="from">The file.</param>
    /// <param name="to">The copy; there is nothing of the name.</param>
    /// <param name="stat">What it is.</param>
    /// <param name="seen">As for <see cref="CopyAttributes"/>.</param>
    /// <returns>Bytes that were copied.</returns>
    internal static long CopyFile(string from, string to, in RawStat stat, bool seen = false)
    {
        using SafeFileHandle source = RawFiles.OpenToRead(from), copy = RawFiles.Create(to);
        long copied = 0;
        if (!FileContents.TryShare(source, copy))
        {
            copied = stat.Length;
            FileContents.Copy(source, copy, copied);
        }

        CopyAttributes(from, to, stat, seen);
        return copied;
    }

    /// <summary>Copies a tree as a guest sees it into an empty layer. Files with several names keep them.</summary>
    /// <param name="from">The tree.</param>
    /// <param name="to">The directory.</param>
    /// <exception cref="DiskException">It holds what a layer cannot.</exception>
    internal static void Copy(string from, string to) => Copy(from, to, []);

    /// <summary>Makes a directory in a layer, and those above it, as others have them; what is there stays.</summary>
    /// <param name="model">The path of the directory to be like, by a name from the layers' roots.</param>
    /// <param name="target">The layer to make it in.</param>
    /// <param name="name">The directory's name from the layer's root; "." for that itself.</param>
    /// <param name="made">Receives the directories that were made, for their times to be set when all is in them.</param>
    internal static void MakeDirectories(
        Func<string, string> model, string target, string name, List<(string Path, RawTime Time)> made)
    {
        string path = PathOf(target, name);
        if (name == "." || RawFiles.TryStat(path) is not null)
        {
            return;
        }

        MakeDirectories(model, target, ParentOf(name), made);
        string like = model(name);
        RawStat stat = RawFiles.Stat(like);
        RawFiles.MakeDirectory(path);
        CopyAttributes(like, path, stat);
        made.Add((path, stat.Modified));
    }

    internal static string PathOf(string root, string name) => name == "." ? root : $"{root}/{name}";

    internal static string ParentOf(string name)
    {
        int slash = name.LastIndexOf('/');
        return slash < 0 ? "." : name[..slash];
    }

    /// <summary>True for what hides a name of lower layers.</summary>
    internal static bool IsWhiteout(in RawStat stat) =>
        stat is { Type: RawFileType.CharacterDevice, Device: (0, 0) };

    /// <summary>Makes a file that is neither a directory nor a regular file as another one is.</summary>
    internal static void CopySpecial(string from, string to, in RawStat stat, bool seen = false)
    {
        if (stat.Type == RawFileType.Symlink)
        {
            RawFiles.MakeSymlink(RawFiles.ReadSymlink(from), to);
        }
        else
        {
            RawFiles.MakeNode(to, stat.Type, stat.Device);
        }

        CopyAttributes(from, to, stat, seen);
    }

    private static void Copy(string from, string to, Dictionary<ulong, string> linked)
    {
        foreach (string name in RawFiles.List(from))
        {
            string source = $"{from}/{name}", target = $"{to}/{name}";
            RawStat stat = RawFiles.Stat(source);
            if (IsWhiteout(stat))
            {
                throw new DiskException(
                    $"{RawPath.ToText(source)} is the device node 0, 0, which stands for a file that was removed.");
            }

            if (stat.Type == RawFileType.Directory)
            {
                RawFiles.MakeDirectory(target);
                Copy(source, target, linked);
                CopyAttributes(source, target, stat, seen: true);
            }
            else if (stat.Type != RawFileType.Regular)
            {
                CopySpecial(source, target, stat, seen: true);
            }
            else if (stat.Links == 1 || linked.TryAdd(stat.Inode, target))
            {
                _ = CopyFile(source, target, stat, seen: true);
            }
            else
            {
                RawFiles.Link(linked[stat.Inode], target);
            }
        }

        CopyAttributes(from, to, RawFiles.Stat(from), seen: true);
    }
}
