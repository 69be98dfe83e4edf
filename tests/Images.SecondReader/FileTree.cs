namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A file of a tree. Several names of a regular file have the same object.</summary>
public sealed class TreeFile
{
    private readonly SortedDictionary<string, TreeFile> _children = new(StringComparer.Ordinal);

    internal TreeFile(LayerEntry entry) => Take(entry);

    /// <summary>What the file is.</summary>
    public LayerEntryType Type { get; private set; }

    /// <summary>The lower 12 bits of the mode.</summary>
    public int Mode { get; private set; }

    /// <summary>The owner.</summary>
    public uint Owner { get; private set; }

    /// <summary>The group.</summary>
    public uint Group { get; private set; }

    /// <summary>When it was modified.</summary>
    public FileTime Modified { get; private set; } = new(0, 0);

    /// <summary>Where a symbolic link leads.</summary>
    public string Target { get; private set; } = "";

    /// <summary>The major number of a device.</summary>
    public int Major { get; private set; }

    /// <summary>The minor number of a device.</summary>
    public int Minor { get; private set; }

    /// <summary>The contents of a regular file.</summary>
    public ReadOnlyMemory<byte> Contents { get; private set; }

    /// <summary>The extended attributes as somebody inside the tree sees them, by rising octets of their names.</summary>
    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Attributes { get; private set; } =
        new Dictionary<string, ReadOnlyMemory<byte>>();

    /// <summary>What is in a directory, by rising octets of the names.</summary>
    public IReadOnlyDictionary<string, TreeFile> Children => _children;

    internal void Take(LayerEntry entry)
    {
        Type = entry.Type;
        Mode = entry.Mode;
        Owner = entry.Owner;
        Group = entry.Group;
        Modified = entry.Modified;
        Target = entry.Target;
        Major = entry.Major;
        Minor = entry.Minor;
        Contents = entry.Contents;
        SortedDictionary<string, ReadOnlyMemory<byte>> attributes = new(StringComparer.Ordinal);
        foreach ((string name, ReadOnlyMemory<byte> value) in entry.Attributes.Where(a => a.Key != Layer.OpaqueAttribute))
        {
            // Linux has put one more "overlay." into the names of an overlayfs inside the tree.
            bool isInner = name.StartsWith(Layer.InnerPrefix, StringComparison.Ordinal);
            attributes.Add(isInner ? Layer.OverlayPrefix + name[Layer.InnerPrefix.Length..] : name, value);
        }

        Attributes = attributes;
    }

    internal void RemoveChildren() => _children.Clear();

    internal void Put(string name, TreeFile child) => _children[name] = child;

    internal void Remove(string name) => _children.Remove(name);
}

/// <summary>The tree that layers make, each applied on top of those below it (section 5.6).</summary>
public sealed class FileTree
{
    private TreeFile? _root;

    /// <summary>The directory itself; null before the first layer.</summary>
    public TreeFile? Root => _root;

    /// <summary>Applies the next layer.</summary>
    public void Apply(Layer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        Dictionary<string, TreeFile> ofLayer = new(StringComparer.Ordinal);
        foreach (LayerEntry entry in layer.Entries)
        {
            if (entry.Path == ".")
            {
                ofLayer.Add(".", _root = Merged(_root, entry));
                continue;
            }

            // The parent is a directory of the same layer, so it is one of the tree by now.
            int slash = entry.Path.LastIndexOf('/');
            TreeFile parent = ofLayer[slash < 0 ? "." : entry.Path[..slash]];
            string name = entry.Path[(slash + 1)..];
            if (entry.Type == LayerEntryType.Whiteout)
            {
                parent.Remove(name);
                continue;
            }

            TreeFile file = entry.Type == LayerEntryType.OtherName
                ? ofLayer[entry.Target]
                : Merged(parent.Children.GetValueOrDefault(name), entry);
            parent.Put(name, file);
            ofLayer.Add(entry.Path, file);
        }
    }

    // A directory stays where the entry is one, too; anything else is replaced.
    private static TreeFile Merged(TreeFile? lower, LayerEntry entry)
    {
        if (lower is not { Type: LayerEntryType.Directory } || entry.Type != LayerEntryType.Directory)
        {
            return new TreeFile(entry);
        }

        lower.Take(entry);
        if (entry.IsOpaque)
        {
            lower.RemoveChildren();
        }

        return lower;
    }
}
