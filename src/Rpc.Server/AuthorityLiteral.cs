namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Exchanges '%' and '/' in the literal of :authority for characters that a host may have, in place.</summary>
internal static class AuthorityLiteral
{
    // ":authority" is the static table's first entry (RFC 7541, appendix A).
    private const int AuthorityIndex = 1;

    // Huffman codes of 6 bits (RFC 7541, appendix B).
    private const int PercentCode = 0b010101;
    private const int SlashCode = 0b011000;
    private const int HyphenCode = 0b010110;
    private const int DotCode = 0b010111;

    // The first code of each length from 5 bits on, and how many codes have it: the code is canonical, which is enough to tell
    // where each symbol ends (RFC 7541, appendix B; 30 bits are the longest).
    private static readonly (uint First, int Count)[] Lengths =
    [
        (0x0, 10), (0x14, 26), (0x5c, 32), (0xf8, 6), (0, 0), (0x3f8, 5), (0x7fa, 3), (0xffa, 2), (0x1ff8, 6), (0x3ffc, 2),
        (0x7ffc, 3), (0, 0), (0, 0), (0, 0), (0x7fff0, 3), (0xfffe6, 8), (0x1fffdc, 13), (0x3fffd2, 26), (0x7fffd8, 29),
        (0xffffea, 12), (0x1ffffec, 4), (0x3ffffe0, 15), (0x7ffffde, 19), (0xfffffe2, 29), (0, 0), (0x3ffffffc, 4),
    ];

    private const int ShortestCode = 5;

    /// <summary>Mends a header block. One that is malformed stays as it is, from there on: HTTP/2 judges it.</summary>
    /// <param name="block">A whole header block.</param>
    internal static void Mend(Span<byte> block)
    {
        int at = 0;
        while (at < block.Length)
        {
            byte first = block[at];
            int prefix = (first & 0x80) != 0 ? 7 : (first & 0x40) != 0 ? 6 : (first & 0x20) != 0 ? 5 : 4;
            if (!TryInteger(block, ref at, prefix, out int index))
            {
                return;
            }

            if ((first & 0x80) != 0 || (first & 0xE0) == 0x20)
            {
                // An indexed field, or a change of the table's size: no literal.
                continue;
            }

            bool isAuthority = index == AuthorityIndex;
            if (index == 0)
            {
                if (!TryString(block, ref at, out Span<byte> name, out bool isHuffman))
                {
                    return;
                }

                isAuthority = !isHuffman && name.SequenceEqual(":authority"u8);
            }

            if (!TryString(block, ref at, out Span<byte> value, out bool coded))
            {
                return;
            }

            if (isAuthority && coded)
            {
                MendCoded(value);
            }
            else if (isAuthority)
            {
                value.Replace((byte)'%', (byte)'-');
                value.Replace((byte)'/', (byte)'.');
            }
        }
    }

    // RFC 7541, section 5.1. Four octets are more than any index or length here.
    private static bool TryInteger(ReadOnlySpan<byte> block, ref int at, int prefix, out int value)
    {
        int mask = (1 << prefix) - 1;
        value = block[at++] & mask;
        if (value < mask)
        {
            return true;
        }

        for (int shift = 0; shift <= 21 && at < block.Length; shift += 7)
        {
            byte octet = block[at++];
            value += (octet & 0x7F) << shift;
            if (octet < 0x80)
            {
                return true;
            }
        }

        return false;
    }

    // RFC 7541, section 5.2.
    private static bool TryString(Span<byte> block, ref int at, out Span<byte> octets, out bool isHuffman)
    {
        octets = default;
        isHuffman = at < block.Length && (block[at] & 0x80) != 0;
        if (at >= block.Length || !TryInteger(block, ref at, 7, out int length) || length > block.Length - at)
        {
            return false;
        }

        octets = block.Slice(at, length);
        at += length;
        return true;
    }

    private static void MendCoded(Span<byte> coded)
    {
        uint code = 0;
        int length = 0;
        for (int bit = 0; bit < coded.Length * 8; bit++)
        {
            code = (code << 1) | (uint)((coded[bit >> 3] >> (7 - (bit & 7))) & 1);
            length++;
            int row = length - ShortestCode;
            if (row < 0)
            {
                continue;
            }

            if (row >= Lengths.Length)
            {
                return;
            }

            (uint first, int count) = Lengths[row];
            if (code < first || code - first >= count)
            {
                continue;
            }

            if (length == 6 && code is PercentCode or SlashCode)
            {
                Put(coded, bit - 5, code == PercentCode ? HyphenCode : DotCode);
            }

            (code, length) = (0, 0);
        }
    }

    private static void Put(Span<byte> coded, int bit, int code)
    {
        for (int i = 0; i < 6; i++, bit++)
        {
            int mask = 1 << (7 - (bit & 7));
            coded[bit >> 3] = (byte)((code >> (5 - i) & 1) != 0 ? coded[bit >> 3] | mask : coded[bit >> 3] & ~mask);
        }
    }
}
