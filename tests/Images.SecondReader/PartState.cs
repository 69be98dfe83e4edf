namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>The state of a part (section 6): units, layers or blobs, by its content.</summary>
/// <remarks>All units that a run calls zero share one array; a unit that was stored as data has its own octets.</remarks>
public sealed class PartState
{
    private readonly SortedDictionary<ulong, ReadOnlyMemory<byte>> _units = [];
    private readonly SortedDictionary<string, Blob> _blobs = new(StringComparer.Ordinal);
    private readonly List<Blob> _layers = [];
    private byte[] _zeroUnit = [];
    private bool _hasLowest;

    /// <summary>The units that exist, in content 2; those that an image mentions, in content 3, where others are zero.</summary>
    public IReadOnlyDictionary<ulong, ReadOnlyMemory<byte>> Units => _units;

    /// <summary>The layers with the lowest first, in content 4.</summary>
    public IReadOnlyList<Blob> Layers => _layers;

    /// <summary>The blobs by name, in contents 1 and 5.</summary>
    public IReadOnlyDictionary<string, Blob> Blobs => _blobs;

    /// <summary>The unit count of the newest image.</summary>
    public ulong UnitCount { get; private set; }

    /// <summary>The disk as the newest image has it, in contents 3 and 4.</summary>
    public Disk? Disk { get; private set; }

    /// <summary>The tree that the layers make, in content 4.</summary>
    /// <exception cref="FormatViolationException">A layer breaks a rule of section 5.6.</exception>
    public FileTree Tree()
    {
        Rule.Require(_hasLowest, Layer.Section, "a full image has one layer, and at least one where it was folded");
        FileTree tree = new();
        foreach (Blob blob in _layers)
        {
            Layer layer = Layer.Read(blob.ToArray());
            Rule.Require(
                tree.Root is not null || layer.IsWholeTree, Layer.Section, "the lowest layer is a whole tree, which hides nothing");
            tree.Apply(layer);
        }

        return tree;
    }

    /// <summary>Applies the next image of a chain that begins with a full one.</summary>
    public void Apply(ImageFile image)
    {
        ArgumentNullException.ThrowIfNull(image);
        UnitCount = image.Header.UnitCount;
        Disk = image.Disk;
        if (image.Header.HasUnits)
        {
            ApplyUnits(image);
        }
        else if (image.Header.Content == ImageContent.Directory)
        {
            if (image.Header.Kind == ImageKind.Full)
            {
                _hasLowest = image.Blobs.Count == 1 || (image.Header.IsFolded && image.Blobs.Count > 0);
            }

            foreach (Blob layer in image.Blobs)
            {
                Rule.Require(!_layers.Exists(below => below.Name == layer.Name), "6", "a layer is in a chain once");
                _layers.Add(layer);
            }
        }
        else
        {
            foreach (Blob blob in image.Blobs)
            {
                _blobs.Add(blob.Name, blob);
            }
        }
    }

    // A device that became shorter has nothing behind its end, also where that is inside a block.
    private void CutLast(int size)
    {
        int inside = (int)((Disk?.Length ?? 0) % (ulong)size);
        if (inside != 0 && _units.TryGetValue(UnitCount - 1, out ReadOnlyMemory<byte> last))
        {
            byte[] cut = new byte[size];
            last.Span[..inside].CopyTo(cut);
            _units[UnitCount - 1] = cut;
        }
    }

    private void ApplyUnits(ImageFile image)
    {
        int size = (int)image.Header.UnitSize;
        if (_zeroUnit.Length != size)
        {
            _zeroUnit = new byte[size];
        }

        foreach (ulong unit in _units.Keys.Where(unit => unit >= UnitCount).ToList())
        {
            _units.Remove(unit);
        }

        CutLast(size);
        foreach (Run run in image.Runs)
        {
            for (uint i = 0; i < run.Count; i++)
            {
                ulong unit = run.First + i;
                switch (run.Class)
                {
                    case RunClass.Data:
                        _units[unit] = run.Data.Slice((int)i * size, size);
                        break;
                    case RunClass.Zero:
                        _units[unit] = _zeroUnit;
                        break;
                    default:
                        _units.Remove(unit);
                        break;
                }
            }
        }
    }
}
