using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final XOR 0xFFFFFFFF
/// (RFC 3720, section 12.1).</summary>
/// <remarks>Finds every error of up to 32 consecutive bits, so every changed byte. Long data is taken in three lanes side
/// by side: the CPU's instruction takes three cycles and can begin in each.</remarks>
internal static class Crc32C
{
    /// <summary>Bytes of a lane: long enough that joining the lanes (eight table look-ups) costs one in a hundred.</summary>
    private const int Lane = 4096;

    private static readonly uint[] Advance = MakeAdvance();

    internal static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>The checksum of two pieces of data, from that of the first.</summary>
    internal static uint Append(uint checksum, ReadOnlySpan<byte> data)
    {
        uint state = ~checksum;
        while (data.Length >= 3 * Lane)
        {
            state = AppendLanes(state, data[..(3 * Lane)]);
            data = data[(3 * Lane)..];
        }

        while (data.Length >= sizeof(ulong))
        {
            state = BitOperations.Crc32C(state, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte value in data)
        {
            state = BitOperations.Crc32C(state, value);
        }

        return ~state;
    }

    private static uint AppendLanes(uint state, ReadOnlySpan<byte> data)
    {
        // As words: a check of bounds for each would take a fifth of the time. Xen's machines are little-endian.
        const int Words = Lane / sizeof(ulong);
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
        ReadOnlySpan<ulong> first = words[..Words], second = words.Slice(Words, Words), third = words.Slice(2 * Words, Words);
        uint a = state, b = 0, c = 0;
        for (int i = 0; i < first.Length && i < second.Length && i < third.Length; i++)
        {
            a = BitOperations.Crc32C(a, first[i]);
            b = BitOperations.Crc32C(b, second[i]);
            c = BitOperations.Crc32C(c, third[i]);
        }

        return OverLane(OverLane(a) ^ b) ^ c;
    }

    // The state after a lane of zeros. It is linear in the state, and the data of a lane adds to it what the lane gives
    // from a state of zero.
    private static uint OverLane(uint state) =>
        Advance[state & 0xFF] ^ Advance[256 + ((state >> 8) & 0xFF)] ^ Advance[512 + ((state >> 16) & 0xFF)]
        ^ Advance[768 + (state >> 24)];

    private static uint[] MakeAdvance()
    {
        uint[] table = new uint[4 * 256];
        for (int bit = 0; bit < 32; bit++)
        {
            uint state = 1u << bit;
            for (int i = 0; i < Lane; i += sizeof(ulong))
            {
                state = BitOperations.Crc32C(state, 0UL);
            }

            for (int value = 0; value < 256; value++)
            {
                if ((value >> (bit % 8) & 1) != 0)
                {
                    table[(bit / 8 * 256) + value] ^= state;
                }
            }
        }

        return table;
    }

    internal static uint Append(uint checksum, uint value) => ~BitOperations.Crc32C(~checksum, value);
}
