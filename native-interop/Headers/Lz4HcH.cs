using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>lz4hc.h</c> of liblz4 1: the slower, stronger compressor of the same block format.</summary>
[CHeader("lz4hc.h")]
internal static partial class Lz4HcH
{
    [CConstant] internal const int LZ4HC_CLEVEL_MIN = 3;
    [CConstant] internal const int LZ4HC_CLEVEL_DEFAULT = 9;
    [CConstant] internal const int LZ4HC_CLEVEL_MAX = 12;

    /// <summary>Compresses a block. Returns its length, or 0 where it does not fit.</summary>
    [LibraryImport(Lz4H.Library)]
    internal static partial int LZ4_compress_HC(
        ref byte src, ref byte dst, int srcSize, int dstCapacity, int compressionLevel);
}
