namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Sizes and limits of the image format, version 1; docs/checkpoint-format.md specifies them.</summary>
public static class ImageFormat
{
    /// <summary>The version that this library writes and reads.</summary>
    public const int Version = 1;

    /// <summary>Bytes of the file header of version 1.</summary>
    public const int HeaderSize = 160;

    /// <summary>The longest file header of any version, in bytes: bounds what a reader reads before the checksum
    /// tells it whether the size can be believed.</summary>
    public const int MaxHeaderSize = 4096;

    /// <summary>Bytes of a record header.</summary>
    public const int RecordHeaderSize = 16;

    /// <summary>The longest payload of a record, in bytes. Above a full data area with a full run table (4 MiB + 1
    /// MiB), and small enough that a reader's buffer for one record is never a burden.</summary>
    public const int MaxPayload = 8 << 20;

    /// <summary>The most data of one record before compression, in bytes. Bounds a reader's second buffer.</summary>
    public const int MaxData = 4 << 20;

    /// <summary>The most runs of one record: a run table of 1 MiB.</summary>
    public const int MaxRuns = 65_536;

    /// <summary>The most units of one run: a count that fits a signed 32-bit integer.</summary>
    public const int MaxRunUnits = int.MaxValue;

    /// <summary>The smallest unit, in bytes: a disk sector.</summary>
    public const int MinUnitSize = 512;

    /// <summary>The unit of memory images: a page of x86.</summary>
    public const int PageSize = 4096;

    /// <summary>The largest unit, in bytes. A unit is never split, so this bounds the smallest batch.</summary>
    public const int MaxUnitSize = 1 << 20;

    /// <summary>The most units of an image: 16 TiB of memory, the most that Xen gives a guest; a bitmap of 512 MiB.
    /// </summary>
    public const long MaxUnits = 1L << 32;

    /// <summary>The longest name of a blob or a disk, in bytes of UTF-8.</summary>
    public const int MaxNameLength = 255;

    /// <summary>The most blobs of an image. Bounds the names that a reader keeps to find repeated ones.</summary>
    public const int MaxBlobs = 65_536;

    /// <summary>The longest label of a checkpoint, in bytes of UTF-8.</summary>
    public const int MaxLabelLength = 64;

    /// <summary>Bytes of the payload of an END record.</summary>
    internal const int EndPayloadSize = 136;

    /// <summary>Bytes of an END record: the last ones of every image, so that they can be read without the body.
    /// </summary>
    internal const int EndSize = RecordHeaderSize + EndPayloadSize;

    /// <summary>Bytes of one run in a run table.</summary>
    internal const int RunSize = 16;

    /// <summary>Bytes before the run table in a RUNS record.</summary>
    internal const int RunsPrefixSize = 8;

    /// <summary>Bytes before the name in a BLOB record.</summary>
    internal const int BlobPrefixSize = 16;

    /// <summary>Bytes before the name in a DISK record.</summary>
    internal const int DiskPrefixSize = 16;

    /// <summary>The first eight bytes of an image. CR and LF are damaged by a transfer in text mode.</summary>
    internal static ReadOnlySpan<byte> Magic => "XTLIMG\r\n"u8;
}

/// <summary>What an image holds.</summary>
public enum ImageContent : ushort
{
    /// <summary>Registers and configuration of a VM, as named blobs (reg).</summary>
    Registers = 1,

    /// <summary>Memory pages of a VM (inm).</summary>
    Memory = 2,

    /// <summary>Blocks of a block device (ind).</summary>
    BlockDevice = 3,

    /// <summary>Layers of a directory, as named blobs (ind).</summary>
    Directory = 4,

    /// <summary>State of the channels of a VM, as named blobs (com).</summary>
    Channels = 5,
}

/// <summary>Whether an image stands alone.</summary>
public enum ImageKind : byte
{
    /// <summary>The image is the whole state: what it does not name does not exist.</summary>
    Full = 1,

    /// <summary>The image holds what changed since its parent.</summary>
    Increment = 2,
}

/// <summary>How records of an image may be compressed.</summary>
public enum ImageCompression : ushort
{
    /// <summary>All data is stored as it is.</summary>
    None = 0,

    /// <summary>LZ4 blocks, where they are shorter than the data.</summary>
    Lz4 = 1,
}

/// <summary>Types of records.</summary>
internal enum RecordType : ushort
{
    Runs = 1,
    Blob = 2,
    Disk = 3,
    End = 0xffff,
}

/// <summary>How the data area of a record is stored.</summary>
internal enum DataEncoding : uint
{
    Raw = 0,
    Lz4 = 1,
}

/// <summary>What the units of a run are.</summary>
internal enum RunClass : uint
{
    Data = 0,
    Zero = 1,
    Unpopulated = 2,
}
