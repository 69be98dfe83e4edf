using System.Runtime.CompilerServices;

namespace XenTwoLevelCkpt.Simulation.Random;

/// <summary>
/// The random numbers of one entity: SplitMix64 (Steele, Lea, Flood 2014), 8 bytes of state, so that a million virtual
/// machines have a stream each.
/// </summary>
/// <remarks>
/// Streams start at places of the same period of 2^64 that a hash chooses. With a million streams of 100,000 numbers the
/// chance that any two overlap is below one in a hundred.
/// </remarks>
public struct RandomStream
{
    // 2^64 divided by the golden ratio, odd: the increment of SplitMix64.
    private const ulong Gamma = 0x9E3779B97F4A7C15;

    // 2^-53: as many bits as a double's significand holds.
    private const double Unit = 1.0 / (1L << 53);

    private ulong _state;

    /// <summary>The stream of an entity.</summary>
    /// <param name="seed">The run's seed.</param>
    /// <param name="purpose">What the numbers are for: streams of different purposes never share numbers, so one more
    /// draw for one purpose changes nothing for the others.</param>
    /// <param name="entity">The entity's number.</param>
    public RandomStream(ulong seed, uint purpose, uint entity)
    {
        ulong name = ((ulong)purpose << 32) | entity;
        _state = Mix(Mix(seed + Gamma) ^ Mix(name - Gamma));
    }

    /// <summary>64 random bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Next() => Mix(_state += Gamma);

    /// <summary>A number of [0, 1), a multiple of 2^-53.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double NextUnit() => (long)(Next() >> 11) * Unit;

    /// <summary>A number of (0, 1]: its logarithm is finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public double NextPositiveUnit() => ((long)(Next() >> 11) + 1) * Unit;

    /// <summary>A number of 0 to <paramref name="bound"/> - 1. The bias of the multiplication (Lemire 2019, without
    /// rejection) is below bound / 2^64.</summary>
    /// <param name="bound">Positive.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int NextBelow(int bound)
    {
        return (int)Math.BigMul(Next(), (ulong)bound, out _);
    }

    /// <summary>An exponentially distributed number of mean 1.</summary>
    public double NextExponential() => -Portable.Log(NextPositiveUnit());

    /// <summary>A number of the standard normal distribution (Marsaglia's polar method).</summary>
    public double NextNormal()
    {
        while (true)
        {
            double x = (2 * NextUnit()) - 1, y = (2 * NextUnit()) - 1;
            double r = (x * x) + (y * y);
            if (r is > 0 and < 1)
            {
                return x * Math.Sqrt(-2 * Portable.Log(r) / r);
            }
        }
    }

    /// <summary>What <see cref="NextPositiveUnit"/> will give after some other draws of one number each.</summary>
    /// <param name="draws">How many, at least 0.</param>
    public readonly double PeekPositiveUnit(int draws) =>
        ((long)(Mix(_state + ((ulong)(draws + 1) * Gamma)) >> 11) + 1) * Unit;

    /// <summary>Leaves draws of one number each out.</summary>
    /// <param name="draws">How many, at least 0.</param>
    public void Skip(int draws) => _state += (ulong)draws * Gamma;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
