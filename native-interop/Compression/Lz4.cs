using K4os.Compression.LZ4;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>LZ4 blocks. A block does not carry its length: whoever stores it stores both lengths.</summary>
/// <remarks>
/// Blocks are compressed by the system's liblz4, or by K4os.Compression.LZ4 where there is none, which takes up to 1.6
/// times as long and gives the same bytes. They are decompressed by K4os, so that reading needs no native library.
/// Thread-safe; nothing is allocated on the managed heap.
/// </remarks>
[NotInC("Its constants are other names of constants that are proved.")]
public static class Lz4
{
    /// <summary>The longest input of one block, in bytes.</summary>
    public const int MaxInputLength = Lz4H.LZ4_MAX_INPUT_SIZE;

    private static readonly ILz4Codec Writer = Choose(Lz4H.Library);
    private static readonly ManagedLz4 Reader = new();

    /// <summary>What compresses, with its release: <c>liblz4 1.9.4</c>, or <c>K4os 1.3.8 (no liblz4)</c>.</summary>
    public static string Implementation => Writer.Name;

    /// <summary>The length that a destination needs so that compressing <paramref name="length"/> bytes cannot fail.
    /// </summary>
    /// <param name="length">Bytes, 0 to <see cref="MaxInputLength"/>.</param>
    public static int MaxCompressedLength(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxInputLength);
        return LZ4Codec.MaximumOutputSize(length);
    }

    /// <summary>Compresses <paramref name="source"/> into one block.</summary>
    /// <param name="source">At most <see cref="MaxInputLength"/> bytes.</param>
    /// <param name="destination">Receives the block; must not overlap the source.</param>
    /// <returns>The length of the block, or 0 where it does not fit into the destination: the caller then stores
    /// the data as it is. A block is never empty, so 0 is not ambiguous.</returns>
    public static int Compress(ReadOnlySpan<byte> source, Span<byte> destination) => Compress(Writer, source, destination);

    /// <summary>Decompresses one block, of any origin: what is not one is refused before anything is decompressed.</summary>
    /// <param name="block">Exactly one block.</param>
    /// <param name="data">Receives the data, which fill it exactly.</param>
    /// <returns>False where the block breaks a rule of the format, or holds more or less.</returns>
    public static bool TryDecompress(ReadOnlySpan<byte> block, Span<byte> data) =>
        Lz4Block.IsValid(block, data.Length) && (data.IsEmpty || Reader.Decompress(block, data) == data.Length);

    /// <summary>The implementation that compresses where liblz4 has this name.</summary>
    internal static ILz4Codec Choose(string library) => NativeLz4.TryLoad(library) ?? (ILz4Codec)new ManagedLz4();

    /// <summary>As <see cref="Compress(ReadOnlySpan{byte}, Span{byte})"/>, by an implementation of the caller's choice.
    /// </summary>
    internal static int Compress(ILz4Codec codec, ReadOnlySpan<byte> source, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(source.Length, MaxInputLength, nameof(source));
        if (destination.IsEmpty)
        {
            return 0;
        }

        // liblz4 makes a block of nothing, K4os none.
        if (source.IsEmpty)
        {
            destination[0] = 0;
            return 1;
        }

        return codec.Compress(source, destination);
    }
}
