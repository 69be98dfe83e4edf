namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A layer of a directory, read from its stream (section 5.6).</summary>
public sealed class Layer
{
    internal const string Section = "5.6";
    internal const string OpaqueAttribute = "trusted.overlay.opaque";
    internal const string OverlayPrefix = "trusted.overlay.";
    internal const string InnerPrefix = "trusted.overlay.overlay.";

    private readonly List<LayerEntry> _entries = [];
    private readonly Dictionary<string, LayerEntry> _byPath = new(StringComparer.Ordinal);

    private Layer(ReadOnlyMemory<byte> stream)
    {
        BlockSource source = new(stream);
        while (TarHeader.Read(source) is { } first)
        {
            Rule.Require(first.Type == 'x', Section, "every entry has an extended header");
            first.CheckExtended();
            PaxRecords records = new(source.TakeContents(first.Size).Span);
            TarHeader header = TarHeader.Read(source)
                ?? throw new FormatViolationException(Section, "an extended header is followed by a header");
            Add(Decode(records, header, source));
        }

        Rule.Require(source.TakesZeros(), Section, "a stream ends with two blocks of zeros");
        Rule.Require(source.IsAtEnd, Section, "nothing is behind the blocks of zeros");
        Rule.Require(_entries.Count > 0, Section, "the first entry is the root");
    }

    /// <summary>The entries in their order; the first one is the root.</summary>
    public IReadOnlyList<LayerEntry> Entries => _entries;

    /// <summary>Whether nothing in the layer hides what a lower one has.</summary>
    public bool IsWholeTree => !_entries.Exists(entry => entry.HidesLower);

    /// <summary>Reads and checks the stream of a layer.</summary>
    /// <exception cref="FormatViolationException">The stream breaks a rule of section 5.6.</exception>
    public static Layer Read(ReadOnlyMemory<byte> stream) => new(stream);

    private static LayerEntry Decode(PaxRecords records, TarHeader header, BlockSource source)
    {
        header.CheckName(records.Path, records.Modified.Seconds);
        uint owner = (uint)PaxRecords.NumberOr(records.Owner, (ulong)header.Owner);
        uint group = (uint)PaxRecords.NumberOr(records.Group, (ulong)header.Group);
        ulong size = PaxRecords.NumberOr(records.Size, header.Size);
        LayerEntryType type = TypeOf(header, records.IsSocket);
        bool isLink = type is LayerEntryType.OtherName or LayerEntryType.SymbolicLink;
        Rule.Require(isLink == records.Target is not null, Section, "linkpath is in entries of types 1 and 2");
        Rule.Require(size == 0 || type == LayerEntryType.File, Section, "only a regular file has contents");
        Rule.Require(
            (header.Major == 0 && header.Minor == 0) || type is LayerEntryType.CharacterDevice or LayerEntryType.BlockDevice,
            Section,
            "only a device has device numbers");
        CheckAttributes(type, records.Attributes);
        return new LayerEntry
        {
            Path = records.Path,
            Type = type,
            Mode = header.Mode,
            Owner = owner,
            Group = group,
            Modified = records.Modified,
            Target = records.Target ?? "",
            Major = header.Major,
            Minor = header.Minor,
            Contents = source.TakeContents(size),
            Attributes = records.Attributes,
        };
    }

    private static LayerEntryType TypeOf(TarHeader header, bool isSocket)
    {
        Rule.Require(!isSocket || header.Type == '6', Section, "a socket is an entry of type 6");
        return header.Type switch
        {
            '0' => LayerEntryType.File,
            '1' => LayerEntryType.OtherName,
            '2' => LayerEntryType.SymbolicLink,
            '3' when header is { Major: 0, Minor: 0 } => LayerEntryType.Whiteout,
            '3' => LayerEntryType.CharacterDevice,
            '4' => LayerEntryType.BlockDevice,
            '5' => LayerEntryType.Directory,
            '6' => isSocket ? LayerEntryType.Socket : LayerEntryType.Pipe,
            _ => throw new FormatViolationException(Section, "the type of an entry is 0 to 6"),
        };
    }

    private static void CheckAttributes(LayerEntryType type, IReadOnlyDictionary<string, ReadOnlyMemory<byte>> attributes)
    {
        Rule.Require(type != LayerEntryType.OtherName || attributes.Count == 0, Section, "another name has no attributes");
        foreach ((string name, ReadOnlyMemory<byte> value) in attributes)
        {
            bool isOpaque = name == OpaqueAttribute && type == LayerEntryType.Directory && value.Span.SequenceEqual("y"u8);
            Rule.Require(
                isOpaque || !name.StartsWith(OverlayPrefix, StringComparison.Ordinal)
                    || name.StartsWith(InnerPrefix, StringComparison.Ordinal),
                Section,
                "of overlayfs's attributes there are opaque directories, and those of an overlayfs inside the tree");
        }
    }

    // Names are compared component by component: no octet of a name is below the separator that stands for '/'.
    private static string SortKey(string path) => path.Replace('/', '\0');

    private void Add(LayerEntry entry)
    {
        if (_entries.Count == 0)
        {
            Rule.Require(
                entry is { Path: ".", Type: LayerEntryType.Directory }, Section, "the first entry is the root, a directory");
        }
        else
        {
            CheckPlace(entry);
        }

        if (entry.Type == LayerEntryType.OtherName)
        {
            CheckOtherName(entry);
        }

        _entries.Add(entry);
        _byPath.Add(entry.Path, entry);
    }

    private void CheckPlace(LayerEntry entry)
    {
        Rule.Require(
            !entry.Path.Split('/').Any(component => component is "" or "." or ".."),
            Section,
            "no component of a path is empty, '.' or '..'");
        int slash = entry.Path.LastIndexOf('/');
        Rule.Require(
            _byPath.TryGetValue(slash < 0 ? "." : entry.Path[..slash], out LayerEntry? parent)
                && parent.Type == LayerEntryType.Directory,
            Section,
            "the directory of an entry comes before it");
        LayerEntry last = _entries[^1];
        Rule.Require(
            _entries.Count == 1 || string.CompareOrdinal(SortKey(last.Path), SortKey(entry.Path)) < 0,
            Section,
            "the names of a directory come by rising octets");
    }

    private void CheckOtherName(LayerEntry entry)
    {
        Rule.Require(
            _byPath.TryGetValue(entry.Target, out LayerEntry? file) && file.Type == LayerEntryType.File,
            Section,
            "another name is that of a regular file that came before");
        Rule.Require(
            (file.Mode, file.Owner, file.Group, file.Modified) == (entry.Mode, entry.Owner, entry.Group, entry.Modified),
            Section,
            "another name has the mode, owners and time of its file");
    }
}
