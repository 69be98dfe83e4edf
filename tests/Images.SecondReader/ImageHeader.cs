using System.Numerics;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>What an image holds.</summary>
public enum ImageContent
{
    /// <summary>Registers, as blobs.</summary>
    Registers = 1,

    /// <summary>Pages of memory.</summary>
    Memory = 2,

    /// <summary>Blocks of a block device.</summary>
    BlockDevice = 3,

    /// <summary>Layers of a directory.</summary>
    Directory = 4,

    /// <summary>State of channels, as blobs.</summary>
    Channels = 5,
}

/// <summary>Whether an image stands alone.</summary>
public enum ImageKind
{
    /// <summary>The image is the whole state.</summary>
    Full = 1,

    /// <summary>The image is applied to the state of its parent.</summary>
    Increment = 2,
}

/// <summary>The header of an image (section 4).</summary>
public sealed record ImageHeader
{
    private const string Section = "4";
    private const int Size = 160;
    private const ulong MostUnits = 1UL << 32;

    private ImageHeader(ReadOnlySpan<byte> octets)
    {
        Domain = Octets.Id(octets, 16);
        Checkpoint = Octets.Id(octets, 32);
        Parent = Octets.Id(octets, 48);
        Epoch = Octets.U64(octets, 64);
        Created = Octets.Time(octets, 72);
        UnitCount = Octets.U64(octets, 80);
        UnitSize = Octets.U32(octets, 88);
        Content = (ImageContent)Octets.U16(octets, 92);
        Kind = (ImageKind)octets[94];
        IsFolded = (octets[95] & 1) != 0;
        IsCompressed = Octets.U16(octets, 96) == 1;
        Checksum = Octets.U32(octets, 156);
    }

    /// <summary>The domain's UUID.</summary>
    public Guid Domain { get; }

    /// <summary>The checkpoint id.</summary>
    public Guid Checkpoint { get; }

    /// <summary>The id of the checkpoint that an increment builds upon; zero in a full image.</summary>
    public Guid Parent { get; }

    /// <summary>The epoch.</summary>
    public ulong Epoch { get; }

    /// <summary>When the file was begun, in microseconds since 1970.</summary>
    public ulong Created { get; }

    /// <summary>The highest unit that may exist, plus one.</summary>
    public ulong UnitCount { get; }

    /// <summary>The octets of a unit; 0 where the content has no units.</summary>
    public uint UnitSize { get; }

    /// <summary>What the image holds.</summary>
    public ImageContent Content { get; }

    /// <summary>Whether the image stands alone.</summary>
    public ImageKind Kind { get; }

    /// <summary>Whether the image was folded from others.</summary>
    public bool IsFolded { get; }

    /// <summary>Whether records may be compressed with LZ4.</summary>
    public bool IsCompressed { get; }

    /// <summary>The CRC-32C of the header.</summary>
    public uint Checksum { get; }

    internal bool HasUnits => Content is ImageContent.Memory or ImageContent.BlockDevice;

    internal bool HasBlobs => Content is ImageContent.Registers or ImageContent.Directory or ImageContent.Channels;

    internal bool HasDisk => Content is ImageContent.BlockDevice or ImageContent.Directory;

    internal static ImageHeader Read(OctetSource source)
    {
        byte[] start = source.Take(16, Section, "the header");
        Rule.Require(start.AsSpan(0, 8).SequenceEqual("XTLIMG\r\n"u8), Section, "the magic is XTLIMG, CR, LF");
        uint size = Octets.U32(start, 12);
        Rule.Require(size is >= 32 and <= 4096, Section, "the header size is 32 to 4096");
        byte[] octets = [.. start, .. source.Take((int)size - start.Length, Section, "the header")];
        uint checksum = Octets.U32(octets, octets.Length - 4);
        Rule.Require(Crc32C.Of(octets.AsSpan(0, octets.Length - 4)) == checksum, Section, "the header's checksum matches");
        Rule.Knows(Octets.U32(octets, 8) == 1, Section, "the version is 1");
        Rule.Require(size == Size, Section, "the header size of version 1 is 160");
        CheckReserved(octets);
        source.Frame(octets);
        ImageHeader header = new(octets);
        header.CheckIdentity();
        header.CheckUnits();
        return header;
    }

    private static void CheckReserved(ReadOnlySpan<byte> octets)
    {
        Rule.Require((octets[95] & ~1) == 0, Section, "reserved header flags are zero");
        Rule.Knows(Octets.U16(octets, 96) <= 1, Section, "the compression is none or LZ4");
        Rule.Knows(Octets.U16(octets, 98) == 0, Section, "the encryption is none");
        Rule.Require(Octets.AllZero(octets[100..104]), Section, "reserved octets 100 to 103 are zero");
        Rule.Require(Octets.AllZero(octets[104..120]), Section, "the key id is zero without encryption");
        Rule.Require(Octets.AllZero(octets[120..144]), Section, "the nonce prefix is zero without encryption");
        Rule.Require(Octets.AllZero(octets[144..156]), Section, "reserved octets 144 to 155 are zero");
    }

    private void CheckIdentity()
    {
        Rule.Require(Content is >= ImageContent.Registers and <= ImageContent.Channels, Section, "the content is 1 to 5");
        Rule.Require(Kind is ImageKind.Full or ImageKind.Increment, Section, "the kind is full or increment");
        Rule.Require(Domain != Guid.Empty, Section, "the UUID of a domain is not zero");
        Rule.Require(Checkpoint != Guid.Empty, Section, "the checkpoint id is not zero");
        Rule.Require(
            !IsFolded || (Kind == ImageKind.Full && (HasUnits || HasDisk)),
            Section,
            "only full images of contents 2, 3 and 4 are folded");
        if (Kind == ImageKind.Full)
        {
            Rule.Require(Parent == Guid.Empty, Section, "a full image has no parent");
            return;
        }

        Rule.Require(HasUnits || HasDisk, Section, "only contents 2, 3 and 4 have increments");
        Rule.Require(Parent != Guid.Empty, Section, "an increment has a parent");
        Rule.Require(Parent != Checkpoint, Section, "an increment is not its own parent");
    }

    private void CheckUnits()
    {
        if (!HasUnits)
        {
            Rule.Require(UnitCount == 0 && UnitSize == 0, Section, "content without units has unit count and size 0");
            return;
        }

        Rule.Require(UnitCount <= MostUnits, Section, "the unit count is at most 2^32");
        Rule.Require(
            BitOperations.IsPow2(UnitSize) && UnitSize is >= 512 and <= 1048576,
            Section,
            "the unit size is a power of two from 512 to 1048576");
        Rule.Require(Content != ImageContent.Memory || UnitSize == 4096, Section, "the unit size of memory is 4096");
    }
}
