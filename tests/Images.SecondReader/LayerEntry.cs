namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>What an entry of a layer is.</summary>
public enum LayerEntryType
{
    /// <summary>A regular file.</summary>
    File,

    /// <summary>Another name of a regular file of the same layer.</summary>
    OtherName,

    /// <summary>A symbolic link.</summary>
    SymbolicLink,

    /// <summary>A character device.</summary>
    CharacterDevice,

    /// <summary>A block device.</summary>
    BlockDevice,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A pipe.</summary>
    Pipe,

    /// <summary>A socket.</summary>
    Socket,

    /// <summary>Nothing; what lower layers have at the path is taken away.</summary>
    Whiteout,
}

/// <summary>A time of a file.</summary>
/// <param name="Seconds">Whole seconds since 1970, rounded down.</param>
/// <param name="Nanoseconds">What is to be added, 0 to 999999999.</param>
public sealed record FileTime(long Seconds, int Nanoseconds);

/// <summary>An entry of a layer (section 5.6). Paths and names are octets, each of them a character of the string.</summary>
public sealed record LayerEntry
{
    /// <summary>The path from the directory's root; <c>.</c> is the root.</summary>
    public required string Path { get; init; }

    /// <summary>What the entry is.</summary>
    public required LayerEntryType Type { get; init; }

    /// <summary>The lower 12 bits of the mode.</summary>
    public required int Mode { get; init; }

    /// <summary>The owner.</summary>
    public required uint Owner { get; init; }

    /// <summary>The group.</summary>
    public required uint Group { get; init; }

    /// <summary>When it was modified.</summary>
    public required FileTime Modified { get; init; }

    /// <summary>The path of the file of which this is another name, or where a symbolic link leads; otherwise empty.</summary>
    public required string Target { get; init; }

    /// <summary>The major number of a device.</summary>
    public required int Major { get; init; }

    /// <summary>The minor number of a device.</summary>
    public required int Minor { get; init; }

    /// <summary>The contents of a regular file.</summary>
    public required ReadOnlyMemory<byte> Contents { get; init; }

    /// <summary>The extended attributes as the stream has them, by their names.</summary>
    public required IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Attributes { get; init; }

    /// <summary>Whether the entry is a directory in which nothing of lower layers stays.</summary>
    public bool IsOpaque => Attributes.ContainsKey(Layer.OpaqueAttribute);

    internal bool HidesLower => IsOpaque || Type == LayerEntryType.Whiteout;
}
