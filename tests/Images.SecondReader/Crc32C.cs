using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>The CRC-32C of section 1, from a table of octets.</summary>
public sealed class Crc32C
{
    // 0x1EDC6F41 with its bits in reverse order, as the checksum is reflected.
    private const uint ReflectedPolynomial = 0x82F63B78;

    private static readonly uint[] Table = MakeTable();

    private uint _state = uint.MaxValue;

    /// <summary>The checksum of all octets so far.</summary>
    public uint Value => ~_state;

    /// <summary>The checksum of <paramref name="octets"/>.</summary>
    public static uint Of(ReadOnlySpan<byte> octets) => new Crc32C().Add(octets).Value;

    /// <summary>Continues with <paramref name="octets"/>.</summary>
    public Crc32C Add(ReadOnlySpan<byte> octets)
    {
        uint state = _state;
        foreach (byte octet in octets)
        {
            state = Table[(byte)(state ^ octet)] ^ (state >> 8);
        }

        _state = state;
        return this;
    }

    /// <summary>Continues with the four octets of <paramref name="value"/>, the least significant first.</summary>
    public Crc32C Add(uint value)
    {
        Span<byte> octets = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(octets, value);
        return Add(octets);
    }

    private static uint[] MakeTable()
    {
        uint[] table = new uint[256];
        for (uint octet = 0; octet < 256; octet++)
        {
            uint value = octet;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value & 1) == 0 ? value >> 1 : (value >> 1) ^ ReflectedPolynomial;
            }

            table[octet] = value;
        }

        return table;
    }
}
