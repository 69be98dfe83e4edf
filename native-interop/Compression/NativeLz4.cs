using System.Globalization;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>The system's liblz4.</summary>
internal sealed class NativeLz4 : ILz4Codec
{
    private NativeLz4()
    {
        int version = Lz4H.LZ4_versionNumber();
        Name = string.Create(
            CultureInfo.InvariantCulture, $"liblz4 {version / 10_000}.{version / 100 % 100}.{version % 100}");
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Returns null where the library is not installed.</summary>
    internal static NativeLz4? TryLoad(string library) => NativeLibrary.TryLoad(library, out _) ? new NativeLz4() : null;

    /// <inheritdoc/>
    public int Compress(ReadOnlySpan<byte> source, Span<byte> destination) => Lz4H.LZ4_compress_default(
        ref MemoryMarshal.GetReference(source), ref MemoryMarshal.GetReference(destination),
        source.Length, destination.Length);

    /// <inheritdoc/>
    public int Decompress(ReadOnlySpan<byte> block, Span<byte> destination) => Lz4H.LZ4_decompress_safe(
        ref MemoryMarshal.GetReference(block), ref MemoryMarshal.GetReference(destination),
        block.Length, destination.Length);
}
