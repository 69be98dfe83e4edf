using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Compression;

/// <summary>Which LZ4 blocks are valid (lz4_Block_format.md), whichever implementation decompresses them.</summary>
/// <remarks>Implementations differ in the broken blocks that they refuse: liblz4 takes an offset of 0, and leaves there
/// what its destination held before; K4os copies from elsewhere.</remarks>
[NotInC("lz4.h does not name the rules of the format.")]
public static class Lz4Block
{
    private const int MinMatch = 4;

    // Literals that a block ends with, and how far before the end the last match begins at the latest.
    private const int LastLiterals = 5;
    private const int LastMatch = 12;

    /// <summary>Tells whether a block keeps all rules of the format. Nothing is decompressed.</summary>
    /// <param name="block">Of any origin.</param>
    /// <param name="length">The bytes that it has to hold.</param>
    /// <returns>True where it keeps the rules and holds exactly <paramref name="length"/> bytes.</returns>
    public static bool IsValid(ReadOnlySpan<byte> block, long length)
    {
        int from = 0;
        long to = 0;
        while (from < block.Length)
        {
            int token = block[from++];
            if (!TryExtend(block, ref from, token >> 4, out long literals) || literals > block.Length - from)
            {
                return false;
            }

            from += (int)literals;
            to += literals;
            if (from == block.Length)
            {
                return to == length;
            }

            if (block.Length - from < 2 || to > length - LastMatch)
            {
                return false;
            }

            int offset = block[from] | (block[from + 1] << 8);
            from += 2;
            if (offset == 0 || offset > to || !TryExtend(block, ref from, token & 15, out long match))
            {
                return false;
            }

            to += MinMatch + match;
            if (to > length - LastLiterals)
            {
                return false;
            }
        }

        return false;
    }

    // 15 goes on in further bytes, up to one that is not 255.
    private static bool TryExtend(ReadOnlySpan<byte> block, ref int from, int nibble, out long length)
    {
        length = nibble;
        byte more = nibble == 15 ? (byte)255 : (byte)0;
        while (more == 255)
        {
            if (from == block.Length)
            {
                return false;
            }

            more = block[from++];
            length += more;
        }

        return true;
    }
}
