using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>
/// Tells pages apart by 128 bits: NH with words of 64 bits (J. Black, S. Halevi, H. Krawczyk, T. Krovetz and P. Rogaway, "UMAC:
/// Fast and Secure Message Authentication", CRYPTO 1999, section 4).
/// </summary>
/// <remarks>Two pages that differ have the same hash with a probability of at most 2^-64 over the key (shown there),
/// whatever a guest writes: it does not know the key, which is the process's own and is kept nowhere. It takes one
/// multiplication for 16 octets.</remarks>
internal sealed class PageHash
{
    private readonly ulong[] _key = new ulong[PageSize.Bytes / sizeof(ulong)];

    /// <summary>A hash with a key of its own.</summary>
    internal PageHash() => RandomNumberGenerator.Fill(MemoryMarshal.AsBytes(_key.AsSpan()));

    /// <summary>A hash with a known key, for tests.</summary>
    internal PageHash(ReadOnlySpan<ulong> key) => key.CopyTo(_key);

    /// <summary>The hash of a page.</summary>
    /// <param name="page">As many octets as a page has.</param>
    internal UInt128 Of(ReadOnlySpan<byte> page)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(page);
        ReadOnlySpan<ulong> key = _key;
        ArgumentOutOfRangeException.ThrowIfNotEqual(words.Length, key.Length, nameof(page));
        ulong low = 0, high = 0;
        for (int i = 0; i < key.Length; i += 2)
        {
            // All modulo 2^64, the sum modulo 2^128.
            high += Math.BigMul(words[i] + key[i], words[i + 1] + key[i + 1], out ulong product);
            low += product;
            high += low < product ? 1UL : 0;
        }

        return new UInt128(high, low);
    }
}
