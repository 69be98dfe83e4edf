using K4os.Compression.LZ4;

namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>K4os.Compression.LZ4: liblz4's own algorithm in C#.</summary>
internal sealed class ManagedLz4 : ILz4Codec
{
    /// <inheritdoc/>
    public string Name { get; } = $"K4os {typeof(LZ4Codec).Assembly.GetName().Version?.ToString(3)} (no liblz4)";

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<byte> source, Span<byte> destination) =>
        Math.Max(0, LZ4Codec.Encode(source, destination));

    /// <inheritdoc/>
    public int Decompress(ReadOnlySpan<byte> block, Span<byte> destination) => LZ4Codec.Decode(block, destination);
}
