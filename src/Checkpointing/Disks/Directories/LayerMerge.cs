using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>Makes one layer of several. Regular files are not copied: the new layer has other names of them.</summary>
/// <remarks>The layers stay as they are but for the number of links of their files. They must not be changed any more, and
/// be deleted soon: until then a guest sees the additional links.</remarks>
internal static class LayerMerge
{
    /// <summary>Merges layers.</summary>
    /// <param name="layers">Their raw paths, the lowest first.</param>
    /// <param name="target">An empty directory in the same file system.</param>
    internal static void Merge(IReadOnlyList<string> layers, string target)
    {
        for (int i = 0; i < layers.Count; i++)
        {
            // What the lowest layer hides is below all of them, and stays hidden.
            Add(layers[i], target);
        }
    }

    // Of what is below all, nothing is known: whiteouts stay, and so do marks of opaque directories.
    private static void Add(string layer, string target)
    {
        foreach (string name in RawFiles.List(layer))
        {
            string source = $"{layer}/{name}", path = $"{target}/{name}";
            RawStat stat = RawFiles.Stat(source);
            RawStat? there = RawFiles.TryStat(path);
            if (stat.Type != RawFileType.Directory)
            {
                if (there is not null)
                {
                    RawFiles.RemoveTree(path);
                }

                // Of a file with several names in the layer these are again the names of one file.
                RawFiles.Link(source, path);
                continue;
            }

            bool opaque = IsOpaque(source);
            if (there is not { Type: RawFileType.Directory } || opaque)
            {
                bool hides = opaque || there is not null;
                if (there is not null)
                {
                    RawFiles.RemoveTree(path);
                }

                RawFiles.MakeDirectory(path);
                if (hides)
                {
                    // A directory in the place of a file or of a whiteout: what lies below both must not show through.
                    RawAttributes.Set(path, OverlayNames.Opaque, "y"u8);
                }
            }

            Add(source, path);
        }

        // Attributes of directories are those of the highest layer. A mark of an opaque one that is there stays.
        foreach ((string name, _) in RawAttributes.Read(target))
        {
            if (!OverlayNames.IsOwn(name))
            {
                RawAttributes.Remove(target, name);
            }
        }

        Trees.CopyAttributes(layer, target, RawFiles.Stat(layer));
    }

    private static bool IsOpaque(string directory) =>
        RawAttributes.Read(directory).Any(a => a.Name == OverlayNames.Opaque && a.Value.AsSpan().SequenceEqual("y"u8));
}
