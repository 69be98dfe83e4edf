using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>lz4.h</c> of liblz4 1: the block format.</summary>
[CHeader("lz4.h")]
internal static partial class Lz4H
{
    internal const string Library = "liblz4.so.1";

    /// <summary>The longest input of a block, in bytes.</summary>
    [CConstant] internal const int LZ4_MAX_INPUT_SIZE = 0x7E000000;

    /// <summary>Returns the release: 10904 is 1.9.4.</summary>
    [LibraryImport(Library)]
    internal static partial int LZ4_versionNumber();

    /// <summary>Returns the longest output of compressing <paramref name="inputSize"/> bytes, or 0 for a size that is
    /// negative or above <see cref="LZ4_MAX_INPUT_SIZE"/>.</summary>
    [LibraryImport(Library)]
    internal static partial int LZ4_compressBound(int inputSize);

    /// <summary>Compresses a block. Returns its length, or 0 where it does not fit into
    /// <paramref name="dstCapacity"/>.</summary>
    [LibraryImport(Library)]
    internal static partial int LZ4_compress_default(ref byte src, ref byte dst, int srcSize, int dstCapacity);

    /// <summary>Decompresses a block. Returns its length, or a negative number for input that is corrupt or does not
    /// fit; never reads or writes outside the two buffers.</summary>
    [LibraryImport(Library)]
    internal static partial int LZ4_decompress_safe(ref byte src, ref byte dst, int compressedSize, int dstCapacity);
}
