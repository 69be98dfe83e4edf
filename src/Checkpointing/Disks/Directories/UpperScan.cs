using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>A regular file of an upper layer that goes on being written after the layer is sealed, or may be.</summary>
/// <param name="Stat">What it is.</param>
/// <param name="Names">Its names in the layer, from its root.</param>
internal sealed record CarriedFile(RawStat Stat, List<string> Names);

/// <summary>Looks through an upper layer for files that have to stay in the upper layer.</summary>
internal static class UpperScan
{
    /// <summary>Finds the files that somebody has open to write, through this mount or an earlier one, and those with
    /// several names: overlayfs would make two files of them when one is written in a lower layer.</summary>
    /// <param name="upper">The layer's raw path.</param>
    internal static IReadOnlyCollection<CarriedFile> Find(string upper)
    {
        var found = new Dictionary<ulong, CarriedFile>();
        Visit(upper, (name, stat) =>
        {
            if (stat.Type != RawFileType.Regular)
            {
                return;
            }

            if (found.TryGetValue(stat.Inode, out CarriedFile? file))
            {
                file.Names.Add(name);
            }
            else if (stat.Links > 1 || IsOpenToWrite($"{upper}/{name}"))
            {
                found.Add(stat.Inode, new CarriedFile(stat, [name]));
            }
        });
        return found.Values;
    }

    /// <summary>Shows all that is in a tree but its root, by names from there.</summary>
    internal static void Visit(string tree, Action<string, RawStat> visitor)
    {
        var pending = new Stack<string>();
        pending.Push(".");
        while (pending.TryPop(out string? directory))
        {
            foreach (string name in RawFiles.List(Trees.PathOf(tree, directory)))
            {
                string inner = directory == "." ? name : $"{directory}/{name}";
                RawStat stat = RawFiles.Stat($"{tree}/{inner}");
                if (stat.Type == RawFileType.Directory)
                {
                    pending.Push(inner);
                }

                visitor(inner, stat);
            }
        }
    }

    /// <summary>Takes names of files away that a layer has in common with the one above it, where a process ended before the
    /// copies were in their place. Both hide these names below: the upper one has them, or what the guest made of them.
    /// </summary>
    /// <param name="sealedLayer">The raw path of the layer below.</param>
    /// <param name="upper">That of the one above.</param>
    internal static void Unshare(string sealedLayer, string upper)
    {
        var shared = new HashSet<ulong>();
        Visit(upper, (_, stat) =>
        {
            if (stat is { Type: RawFileType.Regular, Links: > 1 })
            {
                shared.Add(stat.Inode);
            }
        });
        var names = new List<string>();
        Visit(sealedLayer, (name, stat) =>
        {
            if (stat.Type == RawFileType.Regular && shared.Contains(stat.Inode))
            {
                names.Add(name);
            }
        });
        foreach (string name in names)
        {
            string parent = Trees.PathOf(sealedLayer, Trees.ParentOf(name));
            RawTime time = RawFiles.Stat(parent).Modified;
            RawFiles.Remove($"{sealedLayer}/{name}");
            RawFiles.SetModified(parent, time);
        }
    }

    private static bool IsOpenToWrite(string path)
    {
        using SafeFileHandle file = RawFiles.OpenToRead(path);
        return FileContents.IsOpenToWrite(file);
    }
}
