using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>LZ4 blocks, by liblz4. A block does not carry its length: whoever stores it stores both lengths.</summary>
/// <remarks>Thread-safe; nothing is allocated on the managed heap.</remarks>
[NotInC("Its constants are other names of constants that are proved.")]
public static class Lz4
{
    /// <summary>The longest input of one block, in bytes.</summary>
    public const int MaxInputLength = Lz4H.LZ4_MAX_INPUT_SIZE;

    /// <summary>The lowest level of <see cref="CompressHc"/>.</summary>
    public const int MinHcLevel = Lz4HcH.LZ4HC_CLEVEL_MIN;

    /// <summary>The level of <see cref="CompressHc"/> that its authors recommend.</summary>
    public const int DefaultHcLevel = Lz4HcH.LZ4HC_CLEVEL_DEFAULT;

    /// <summary>The highest, and slowest, level of <see cref="CompressHc"/>.</summary>
    public const int MaxHcLevel = Lz4HcH.LZ4HC_CLEVEL_MAX;

    /// <summary>The length that a destination needs so that compressing <paramref name="length"/> bytes cannot fail.
    /// </summary>
    /// <param name="length">Bytes, 0 to <see cref="MaxInputLength"/>.</param>
    public static int MaxCompressedLength(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxInputLength);
        return Lz4H.LZ4_compressBound(length);
    }

    /// <summary>Compresses <paramref name="source"/> into one block.</summary>
    /// <param name="source">At most <see cref="MaxInputLength"/> bytes.</param>
    /// <param name="destination">Receives the block; must not overlap the source.</param>
    /// <returns>The length of the block, or 0 where it does not fit into the destination: the caller then stores
    /// the data as it is. A block is never empty, so 0 is not ambiguous.</returns>
    public static int Compress(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(source.Length, MaxInputLength, nameof(source));
        if (destination.IsEmpty)
        {
            return 0;
        }

        return Lz4H.LZ4_compress_default(
            ref MemoryMarshal.GetReference(source), ref MemoryMarshal.GetReference(destination),
            source.Length, destination.Length);
    }

    /// <summary>Compresses as <see cref="Compress"/> does, slower and smaller; read by the same
    /// <see cref="Decompress"/>.</summary>
    /// <param name="source">At most <see cref="MaxInputLength"/> bytes.</param>
    /// <param name="destination">Receives the block; must not overlap the source.</param>
    /// <param name="level"><see cref="MinHcLevel"/> to <see cref="MaxHcLevel"/>.</param>
    /// <returns>The length of the block, or 0 where it does not fit into the destination.</returns>
    public static int CompressHc(ReadOnlySpan<byte> source, Span<byte> destination, int level = DefaultHcLevel)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(source.Length, MaxInputLength, nameof(source));
        ArgumentOutOfRangeException.ThrowIfLessThan(level, MinHcLevel);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(level, MaxHcLevel);
        if (destination.IsEmpty)
        {
            return 0;
        }

        return Lz4HcH.LZ4_compress_HC(
            ref MemoryMarshal.GetReference(source), ref MemoryMarshal.GetReference(destination),
            source.Length, destination.Length, level);
    }

    /// <summary>Decompresses one block.</summary>
    /// <param name="source">Exactly one block, of any origin: input that is not one is rejected.</param>
    /// <param name="destination">Receives the data.</param>
    /// <returns>The length of the data.</returns>
    /// <exception cref="InvalidDataException">The block is corrupt, or its data does not fit into the destination
    /// (the format does not tell these apart). The destination's contents are then undefined.</exception>
    public static int Decompress(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        int length = Lz4H.LZ4_decompress_safe(
            ref MemoryMarshal.GetReference(source), ref MemoryMarshal.GetReference(destination),
            source.Length, destination.Length);
        if (length < 0)
        {
            ThrowCorrupt(source.Length, destination.Length);
        }

        return length;
    }

    private static void ThrowCorrupt(int source, int destination) => throw new InvalidDataException(
        $"An LZ4 block of {source} bytes is corrupt or holds more than the {destination} bytes expected.");
}
