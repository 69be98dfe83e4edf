namespace XenTwoLevelCkpt.Images.Format;

/// <summary>How an <see cref="ImageWriter"/> works.</summary>
public sealed record ImageWriterOptions
{
    /// <summary>For blobs and other small images: no threads, small buffers.</summary>
    public static ImageWriterOptions Small { get; } = new() { BatchSize = 64 << 10, CompressionThreads = 0 };

    /// <summary>Bytes of data in one record, a power of two from 4 KiB to <see cref="ImageFormat.MaxData"/>; at least
    /// one unit is taken in any case.</summary>
    /// <remarks>1 MiB: LZ4 gains nothing from longer blocks (its window is 64 KiB), the overhead of a record is below
    /// one in a thousand, and the buffers of a writer with two threads are 8 MiB.</remarks>
    public int BatchSize { get; init; } = 1 << 20;

    /// <summary>Threads that compress and write beside the caller's, 0 to 64; with 0 everything happens on that one. With
    /// more, the caller's thread compresses where it would have to wait otherwise.</summary>
    /// <remarks>One: it compresses about as fast as a local disk writes, and a Dom0's CPUs are the guests' too.
    /// </remarks>
    public int CompressionThreads { get; init; } = 1;
}
