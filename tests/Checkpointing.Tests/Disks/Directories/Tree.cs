using System.Globalization;
using System.Security.Cryptography;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>All that a guest can see of a tree, a line an entry.</summary>
internal static class Tree
{
    /// <param name="root">The tree.</param>
    /// <param name="links">False leaves out how many names files have.</param>
    internal static IReadOnlyList<string> Describe(string root, bool links = true)
    {
        var lines = new List<string>();
        Add(root, ".", lines, links ? [] : null);
        return lines;
    }

    private static void Add(string root, string name, List<string> lines, Dictionary<ulong, string>? linked)
    {
        string path = name == "." ? root : $"{root}/{name}";
        RawStat s = RawFiles.Stat(path);
        string what = s.Type switch
        {
            RawFileType.Symlink => $"-> {RawFiles.ReadSymlink(path)}",
            RawFileType.CharacterDevice or RawFileType.BlockDevice => $"{s.Device}",
            RawFileType.Regular => $"{s.Length} {Hash(path)} {Group(s, name, linked)}",
            _ => "",
        };
        string attributes = string.Join(' ', RawAttributes.Read(path).Select(a => $"{a.Name}={Convert.ToHexString(a.Value)}"));
        string mode = s.Type == RawFileType.Symlink ? "" : Convert.ToString(s.Permissions, 8);
        lines.Add(string.Create(
            CultureInfo.InvariantCulture,
            $"{name} {s.Type} {mode} {s.Owner}:{s.Group} {s.Modified.Seconds}.{s.Modified.Nanoseconds:D9} {what} {attributes}"));
        if (s.Type == RawFileType.Directory)
        {
            foreach (string child in RawFiles.List(path))
            {
                Add(root, name == "." ? child : $"{name}/{child}", lines, linked);
            }
        }
    }

    // Files with several names: how many, and the first of them.
    private static string Group(in RawStat s, string name, Dictionary<ulong, string>? linked) =>
        linked is null ? "" : s.Links == 1 ? "1" : $"{s.Links} {(linked.TryAdd(s.Inode, name) ? name : linked[s.Inode])}";

    private static string Hash(string path)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = RawFiles.OpenToRead(path);
        using var stream = new FileStream(file, FileAccess.Read);
        return Convert.ToHexString(SHA256.HashData(stream))[..16];
    }
}
