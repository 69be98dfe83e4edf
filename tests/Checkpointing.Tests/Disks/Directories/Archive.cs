using System.Formats.Tar;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>Layers read by .NET's own reader of tar archives.</summary>
internal static class Archive
{
    /// <summary>The names in an archive, each with a letter before it: d directory, f file, l link, h another name, w what
    /// hides a lower one, o a directory that hides lower ones, s others.</summary>
    internal static string[] Names(byte[] archive)
    {
        var names = new List<string>();
        using var reader = new TarReader(new MemoryStream(archive));
        while (reader.GetNextEntry() is PaxTarEntry entry)
        {
            char letter = entry.EntryType switch
            {
                TarEntryType.Directory when entry.ExtendedAttributes.ContainsKey("SCHILY.xattr.trusted.overlay.opaque") => 'o',
                TarEntryType.Directory => 'd',
                TarEntryType.RegularFile => 'f',
                TarEntryType.SymbolicLink => 'l',
                TarEntryType.HardLink => 'h',
                TarEntryType.CharacterDevice when entry is { DeviceMajor: 0, DeviceMinor: 0 } => 'w',
                _ => 's',
            };
            names.Add($"{letter} {entry.Name}");
        }

        return [.. names];
    }

    internal static byte[] Of(string tree)
    {
        using var stream = new Checkpointing.Disks.Directories.LayerStream(tree, null);
        var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    internal static void Extract(byte[] archive, string tree, int piece = 4096)
    {
        RawFiles.MakeDirectory(tree);
        using var extractor = new Checkpointing.Disks.Directories.LayerExtractor(tree);
        for (int at = 0; at < archive.Length; at += piece)
        {
            extractor.Write(archive.AsSpan(at, Math.Min(piece, archive.Length - at)));
        }

        extractor.Complete();
    }
}
