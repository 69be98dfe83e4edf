using System.Buffers.Binary;
using System.Numerics;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final XOR 0xFFFFFFFF
/// (RFC 3720, section 12.1).</summary>
/// <remarks>Finds every error of up to 32 consecutive bits, so every changed byte.</remarks>
internal static class Crc32C
{
    internal static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>The checksum of two pieces of data, from that of the first.</summary>
    internal static uint Append(uint checksum, ReadOnlySpan<byte> data)
    {
        uint state = ~checksum;
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

    internal static uint Append(uint checksum, uint value) => ~BitOperations.Crc32C(~checksum, value);
}
