using System.Buffers.Binary;
using System.Numerics;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>The fixed header of an image: what it is, readable without its body.</summary>
/// <remarks>
/// The index and label of the checkpoint are not here: a memory image is begun when the epoch opens, and its index is
/// known only when the checkpoint is taken. They are in the last bytes of the file, see <see cref="ImageTrailer"/>.
/// </remarks>
public sealed record ImageHeader
{
    /// <summary>The domain's UUID.</summary>
    public required Guid DomainUuid { get; init; }

    /// <summary>The checkpoint whose state this is. A random number that names a state, not a file: folding makes
    /// another file of the same state.</summary>
    public required Guid CheckpointId { get; init; }

    /// <summary>For an increment, the checkpoint that it builds upon; otherwise <see cref="Guid.Empty"/>.</summary>
    public Guid ParentId { get; init; }

    /// <summary>The epoch that the checkpoint ended: a number that rises from checkpoint to checkpoint of a store.
    /// </summary>
    public required ulong Epoch { get; init; }

    /// <summary>When the image was begun, in UTC; stored in microseconds.</summary>
    public required DateTimeOffset Created { get; init; }

    /// <summary>What the image holds.</summary>
    public required ImageContent Content { get; init; }

    /// <summary>Whether the image stands alone.</summary>
    public required ImageKind Kind { get; init; }

    /// <summary>True where the image was folded from others, not captured.</summary>
    public bool Synthetic { get; init; }

    /// <summary>How records may be compressed.</summary>
    public ImageCompression Compression { get; init; } = ImageCompression.Lz4;

    /// <summary>Bytes of a unit (memory: a page; block device: a block); 0 in images without units.</summary>
    public int UnitSize { get; init; }

    /// <summary>The highest unit that may exist, plus one (memory: the number of PFNs); 0 in images without units.
    /// </summary>
    public long UnitCount { get; init; }

    /// <summary>True for contents that consist of numbered units.</summary>
    internal bool HasUnits => Content is ImageContent.Memory or ImageContent.BlockDevice;

    /// <summary>True for contents that begin with a DISK record.</summary>
    internal bool NeedsDisk => Content is ImageContent.BlockDevice or ImageContent.Directory;

    /// <summary>What is wrong with the fields, or null.</summary>
    internal string? Problem()
    {
        if (!Enum.IsDefined(Content))
        {
            return $"content {(ushort)Content} is not known";
        }

        if (Kind is not (ImageKind.Full or ImageKind.Increment))
        {
            return $"kind {(byte)Kind} is not known";
        }

        if (Compression is not (ImageCompression.None or ImageCompression.Lz4))
        {
            return $"compression {(ushort)Compression} is not known";
        }

        if (DomainUuid == Guid.Empty)
        {
            return "the domain's UUID is zero, that of Domain-0";
        }

        if (CheckpointId == Guid.Empty)
        {
            return "the checkpoint id is zero";
        }

        if ((Kind == ImageKind.Increment) == (ParentId == Guid.Empty))
        {
            return Kind == ImageKind.Full ? "a full image names a parent" : "an increment names no parent";
        }

        if (ParentId == CheckpointId)
        {
            return "the image is its own parent";
        }

        if (Kind == ImageKind.Increment && Content is ImageContent.Registers or ImageContent.Channels)
        {
            return $"content {Content} is never an increment";
        }

        if (Synthetic && (Kind == ImageKind.Increment || Content is ImageContent.Registers or ImageContent.Channels))
        {
            return "only a full image of what can be an increment is folded from others";
        }

        if (!HasUnits)
        {
            return UnitSize == 0 && UnitCount == 0 ? null : $"content {Content} has no units";
        }

        if (UnitSize is < ImageFormat.MinUnitSize or > ImageFormat.MaxUnitSize || !BitOperations.IsPow2(UnitSize))
        {
            return $"a unit of {UnitSize} bytes is not possible";
        }

        if (Content == ImageContent.Memory && UnitSize != ImageFormat.PageSize)
        {
            return $"a page of {UnitSize} bytes is not possible";
        }

        return UnitCount is < 0 or > ImageFormat.MaxUnits ? $"{UnitCount} units are not possible" : null;
    }

    /// <summary>Writes the header's bytes.</summary>
    internal void WriteTo(Span<byte> destination)
    {
        Span<byte> h = destination[..ImageFormat.HeaderSize];
        h.Clear();
        ImageFormat.Magic.CopyTo(h);
        BinaryPrimitives.WriteUInt32LittleEndian(h[8..], ImageFormat.Version);
        BinaryPrimitives.WriteUInt32LittleEndian(h[12..], ImageFormat.HeaderSize);
        _ = DomainUuid.TryWriteBytes(h[16..], bigEndian: true, out _);
        _ = CheckpointId.TryWriteBytes(h[32..], bigEndian: true, out _);
        _ = ParentId.TryWriteBytes(h[48..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(h[64..], Epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(h[72..], Timestamp.ToMicroseconds(Created));
        BinaryPrimitives.WriteUInt64LittleEndian(h[80..], (ulong)UnitCount);
        BinaryPrimitives.WriteUInt32LittleEndian(h[88..], (uint)UnitSize);
        BinaryPrimitives.WriteUInt16LittleEndian(h[92..], (ushort)Content);
        h[94] = (byte)Kind;
        h[95] = Synthetic ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt16LittleEndian(h[96..], (ushort)Compression);
        BinaryPrimitives.WriteUInt32LittleEndian(h[^4..], Crc32C.Compute(h[..^4]));
    }

    /// <summary>Reads the header of an image from its beginning.</summary>
    /// <param name="stream">Positioned at the start of the image; left behind its header.</param>
    /// <param name="file">The file's name for messages.</param>
    /// <exception cref="ImageCorruptException">The header is damaged, or this is no image.</exception>
    /// <exception cref="ImageUnsupportedException">The image is of a later version, or encrypted.</exception>
    public static ImageHeader ReadFrom(Stream stream, string file) => ReadFrom(stream, file, out _);

    internal static ImageHeader ReadFrom(Stream stream, string file, out uint checksum)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Span<byte> buffer = stackalloc byte[ImageFormat.MaxHeaderSize];
        Fill(stream, buffer[..16], file, 0);
        if (!buffer.StartsWith(ImageFormat.Magic))
        {
            throw new ImageCorruptException(file, 0, "this is not a checkpoint image");
        }

        uint size = BinaryPrimitives.ReadUInt32LittleEndian(buffer[12..]);
        if (size is < 32 or > ImageFormat.MaxHeaderSize)
        {
            throw new ImageCorruptException(file, 12, $"a header of {size} bytes is not possible");
        }

        Span<byte> h = buffer[..(int)size];
        Fill(stream, h[16..], file, 16);
        checksum = BinaryPrimitives.ReadUInt32LittleEndian(h[^4..]);
        if (checksum != Crc32C.Compute(h[..^4]))
        {
            throw new ImageCorruptException(file, 0, "the header does not match its checksum");
        }

        return Decode(h, file);
    }

    // The bytes match their checksum: from here on, what is wrong was written so.
    private static ImageHeader Decode(ReadOnlySpan<byte> h, string file)
    {
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(h[8..]);
        if (version != ImageFormat.Version)
        {
            throw new ImageUnsupportedException(
                file, 8, $"the image is of version {version}, this software reads {ImageFormat.Version}");
        }

        if (h.Length != ImageFormat.HeaderSize)
        {
            throw new ImageCorruptException(file, 12, $"a header of {h.Length} bytes is not one of version 1");
        }

        ushort encryption = BinaryPrimitives.ReadUInt16LittleEndian(h[98..]);
        if (encryption != 0)
        {
            throw new ImageUnsupportedException(file, 98, $"the image is encrypted with algorithm {encryption}");
        }

        ushort compression = BinaryPrimitives.ReadUInt16LittleEndian(h[96..]);
        if (compression > (ushort)ImageCompression.Lz4)
        {
            throw new ImageUnsupportedException(file, 96, $"compression {compression} is not known");
        }

        if (h[100..^4].ContainsAnyExcept((byte)0) || (h[95] & ~1) != 0)
        {
            throw new ImageCorruptException(file, 95, "a reserved field of the header is not zero");
        }

        if (!Timestamp.TryRead(BinaryPrimitives.ReadUInt64LittleEndian(h[72..]), out DateTimeOffset created))
        {
            throw new ImageCorruptException(file, 72, "the creation time is not possible");
        }

        ulong units = BinaryPrimitives.ReadUInt64LittleEndian(h[80..]);
        uint unitSize = BinaryPrimitives.ReadUInt32LittleEndian(h[88..]);
        var header = new ImageHeader
        {
            DomainUuid = new Guid(h[16..32], bigEndian: true),
            CheckpointId = new Guid(h[32..48], bigEndian: true),
            ParentId = new Guid(h[48..64], bigEndian: true),
            Epoch = BinaryPrimitives.ReadUInt64LittleEndian(h[64..]),
            Created = created,
            UnitCount = (long)Math.Min(units, long.MaxValue),
            UnitSize = (int)Math.Min(unitSize, int.MaxValue),
            Content = (ImageContent)BinaryPrimitives.ReadUInt16LittleEndian(h[92..]),
            Kind = (ImageKind)h[94],
            Synthetic = h[95] == 1,
            Compression = (ImageCompression)compression,
        };
        return header.Problem() is { } problem ? throw new ImageCorruptException(file, 0, problem) : header;
    }

    private static void Fill(Stream stream, Span<byte> destination, string file, long offset)
    {
        int read = stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        if (read < destination.Length)
        {
            throw new ImageCorruptException(file, offset + read, "the file ends inside its header");
        }
    }
}
