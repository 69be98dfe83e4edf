namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>An implementation of LZ4's block format.</summary>
internal interface ILz4Codec
{
    /// <summary>The library and its release.</summary>
    string Name { get; }

    /// <summary>Compresses. Neither is empty. Returns the block's length, or 0 where it does not fit.</summary>
    int Compress(ReadOnlySpan<byte> source, Span<byte> destination);

    /// <summary>Decompresses a valid block (<see cref="Lz4Block.IsValid"/>) of at least one byte of data. Returns their
    /// length; what other blocks give, or leave in the destination, differs from one implementation to the other.</summary>
    int Decompress(ReadOnlySpan<byte> block, Span<byte> destination);
}
