namespace XenTwoLevelCkpt.Images.Format;

/// <summary>How an <see cref="ImageWriter"/> works.</summary>
public sealed record ImageWriterOptions
{
    /// <summary>For blobs and other small images: no threads, small buffers.</summary>
    public static ImageWriterOptions Small { get; } = new() { BatchSize = 64 << 10, CompressionThreads = 0 };

    /// <summary>Bytes of data in one record, a power of two from 4 KiB to <see cref="ImageFormat.MaxData"/>; at least
    /// one unit is taken in any case.</summary>
    /// <remarks>256 KiB: what was copied in is still in a core's own cache when it is compressed, and so is the compressed form
    /// when its checksum is taken; with 1 MiB all of it passes through memory that the cores share. LZ4 gains little from
    /// longer blocks (its window is 64 KiB), the overhead of a record is below one in a thousand, and the buffers of a
    /// writer with one thread are below 2 MiB.</remarks>
    public int BatchSize { get; init; } = 256 << 10;

    /// <summary>Threads that compress and write beside the caller's, 0 to 64; with 0 everything happens on that one. With
    /// more, the caller's thread compresses where it would have to wait otherwise.</summary>
    /// <remarks>One: it compresses about as fast as a local disk writes, and a Dom0's CPUs are the guests' too.
    /// </remarks>
    public int CompressionThreads { get; init; } = 1;
}
