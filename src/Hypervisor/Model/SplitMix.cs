namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>The SplitMix64 generator (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014):
/// its whole state is one word, so a guest keeps it in its memory.</summary>
internal static class SplitMix
{
    private const ulong Gamma = 0x9E37_79B9_7F4A_7C15;

    /// <summary>The next value of the sequence whose state is <paramref name="state"/>.</summary>
    internal static ulong Next(ref ulong state)
    {
        state += Gamma;
        return Finish(state);
    }

    /// <summary>A bijection of 64-bit words without visible structure.</summary>
    internal static ulong Mix(ulong value) => Finish(value + Gamma);

    /// <summary>Maps a random word to <c>[0, bound)</c>. The bias is below bound / 2^64.</summary>
    internal static long Below(ulong random, long bound) => (long)Math.BigMul(random, (ulong)bound, out _);

    private static ulong Finish(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
