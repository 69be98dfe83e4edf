namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>Decodes the block format of LZ4.</summary>
public static class Lz4Block
{
    private const string Section = "5.1";
    private const int MinimumMatch = 4;
    private const int LastMatch = 12;
    private const int LastLiterals = 5;

    /// <summary>Decodes <paramref name="block"/>, which fills <paramref name="data"/> exactly.</summary>
    /// <exception cref="FormatViolationException">The block is malformed, or gives another length.</exception>
    public static void Decode(ReadOnlySpan<byte> block, Span<byte> data)
    {
        int from = 0;
        int to = 0;
        while (true)
        {
            Rule.Require(from < block.Length, Section, "an LZ4 block ends with literals");
            int token = block[from++];
            int literals = Length(block, ref from, token >> 4, data.Length - to);
            Rule.Require(literals <= block.Length - from, Section, "an LZ4 block has the literals that it announces");
            block.Slice(from, literals).CopyTo(data[to..]);
            from += literals;
            to += literals;
            if (from == block.Length)
            {
                break;
            }

            Rule.Require(block.Length - from >= 2, Section, "an LZ4 block ends with literals, not inside an offset");
            int offset = block[from] | (block[from + 1] << 8);
            from += 2;
            Rule.Require(offset != 0, Section, "an LZ4 match has an offset");
            Rule.Require(offset <= to, Section, "an LZ4 match begins inside the data");
            Rule.Require(to <= data.Length - LastMatch, Section, "no LZ4 match begins in the last 12 octets");
            int match = MinimumMatch + Length(block, ref from, token & 15, data.Length - to - MinimumMatch);
            Rule.Require(to + match <= data.Length - LastLiterals, Section, "the last 5 octets of an LZ4 block are literals");
            CopyMatch(data, to, offset, match);
            to += match;
        }

        Rule.Require(to == data.Length, Section, "an LZ4 block gives the length that other fields say");
    }

    // A length of 15 goes on in further octets, up to one that is not 255. Nothing longer than what is left of the data
    // is of use, and stopping there keeps the sum small.
    private static int Length(ReadOnlySpan<byte> block, ref int from, int nibble, int limit)
    {
        int length = nibble;
        if (nibble == 15)
        {
            byte more;
            do
            {
                Rule.Require(from < block.Length, Section, "an LZ4 block does not end inside a length");
                more = block[from++];
                length += more;
                Rule.Require(length <= limit, Section, "an LZ4 block does not give more than the data");
            }
            while (more == 255);
        }

        Rule.Require(length <= limit, Section, "an LZ4 block does not give more than the data");
        return length;
    }

    // A match that overlaps what it makes repeats it, so that it is copied in the order of the octets.
    private static void CopyMatch(Span<byte> data, int to, int offset, int count)
    {
        if (offset >= count)
        {
            data.Slice(to - offset, count).CopyTo(data[to..]);
            return;
        }

        for (int i = to; i < to + count; i++)
        {
            data[i] = data[i - offset];
        }
    }
}
