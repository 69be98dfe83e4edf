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
        var pending = new Stack<string>();
        pending.Push(".");
        while (pending.TryPop(out string? directory))
        {
            foreach (string name in RawFiles.List(Trees.PathOf(upper, directory)))
            {
                string inner = directory == "." ? name : $"{directory}/{name}", path = $"{upper}/{inner}";
                RawStat stat = RawFiles.Stat(path);
                if (stat.Type == RawFileType.Directory)
                {
                    pending.Push(inner);
                }
                else if (stat.Type == RawFileType.Regular)
                {
                    if (found.TryGetValue(stat.Inode, out CarriedFile? file))
                    {
                        file.Names.Add(inner);
                    }
                    else if (stat.Links > 1 || IsOpenToWrite(path))
                    {
                        found.Add(stat.Inode, new CarriedFile(stat, [inner]));
                    }
                }
            }
        }

        return found.Values;
    }

    private static bool IsOpenToWrite(string path)
    {
        using SafeFileHandle file = RawFiles.OpenToRead(path);
        return FileContents.IsOpenToWrite(file);
    }
}
