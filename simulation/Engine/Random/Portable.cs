using System.Runtime.Intrinsics;

namespace XenTwoLevelCkpt.Simulation.Random;

/// <summary>
/// Logarithm and exponential from the four operations of IEEE 754 alone. <see cref="Math.Log(double)"/> is the C
/// library's, whose last bit differs between releases; the parts of a study that ran on different machines would not
/// join to what one machine gives.
/// </summary>
public static class Portable
{
    private const double Ln2High = 0.693147180369123816490;
    private const double Ln2Low = 1.90821492927058770002e-10;

    /// <summary>The natural logarithm, to about 1e-15 relative to the larger of 1 and the result.</summary>
    /// <param name="x">Positive, normal and finite.</param>
    public static double Log(double x)
    {
        // x = m 2^k with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)), whose series in s^2 <= 0.0295
        // has terms below 1e-17 after the tenth.
        long bits = BitConverter.DoubleToInt64Bits(x);
        long offset = bits - 0x3FE6A09E667F3BCD;
        long k = offset >> 52;
        double m = BitConverter.Int64BitsToDouble(bits - (k << 52));
        double s = (m - 1) / (m + 1);
        double q = s * s;
        double p = q * ((1.0 / 3) + (q * ((1.0 / 5) + (q * ((1.0 / 7) + (q * ((1.0 / 9) + (q * ((1.0 / 11)
            + (q * ((1.0 / 13) + (q * ((1.0 / 15) + (q * ((1.0 / 17) + (q * (1.0 / 19)))))))))))))))));
        return (k * Ln2High) + ((k * Ln2Low) + (2 * s * p) + (2 * s));
    }

    /// <summary>Four logarithms side by side, each the same to the last bit as <see cref="Log(double)"/> of it: the same
    /// operations in the same order. A single one waits for each step of its series; four wait together.</summary>
    /// <param name="x">Positive, normal and finite.</param>
    public static Vector256<double> Log(Vector256<double> x)
    {
        Vector256<long> bits = x.AsInt64();

        // The exponent plus 1023, so that it is not negative; below 2^52 it becomes a double by standing in one's
        // significand.
        Vector256<long> offset = bits - Vector256.Create(0x3FE6A09E667F3BCDL);
        Vector256<long> biased = Vector256.ShiftRightLogical(offset + Vector256.Create(1023L << 52), 52);
        Vector256<double> k = (biased | Vector256.Create(0x4330000000000000L)).AsDouble() - Vector256.Create(4503599627370496.0 + 1023);
        Vector256<double> m = (bits - (offset & Vector256.Create(-1L << 52))).AsDouble();
        Vector256<double> one = Vector256<double>.One;
        Vector256<double> s = (m - one) / (m + one);
        Vector256<double> q = s * s;
        Vector256<double> p = Vector256.Create(1.0 / 17) + (q * Vector256.Create(1.0 / 19));
        p = Vector256.Create(1.0 / 15) + (q * p);
        p = Vector256.Create(1.0 / 13) + (q * p);
        p = Vector256.Create(1.0 / 11) + (q * p);
        p = Vector256.Create(1.0 / 9) + (q * p);
        p = Vector256.Create(1.0 / 7) + (q * p);
        p = Vector256.Create(1.0 / 5) + (q * p);
        p = q * (Vector256.Create(1.0 / 3) + (q * p));
        Vector256<double> twice = s + s;
        return (k * Vector256.Create(Ln2High)) + ((k * Vector256.Create(Ln2Low)) + (twice * p) + twice);
    }

    /// <summary>e to the power of x.</summary>
    /// <param name="x">Any number; beyond 709 the result is infinite, below -708 it is 0.</param>
    public static double Exp(double x)
    {
        if (x > 709)
        {
            return double.PositiveInfinity;
        }

        if (x < -708)
        {
            return 0;
        }

        // x = k ln 2 + r with |r| <= 0.35, where the Taylor series has terms below 1e-17 after the fourteenth.
        double k = Math.Round(x / (Ln2High + Ln2Low));
        double r = x - (k * Ln2High) - (k * Ln2Low);
        double sum = 1;
        for (int i = 14; i > 0; i--)
        {
            sum = 1 + (r * sum / i);
        }

        return sum * BitConverter.Int64BitsToDouble((1023L + (long)k) << 52);
    }

    /// <summary>x to the power of y.</summary>
    /// <param name="x">Positive.</param>
    /// <param name="y">Any number.</param>
    public static double Pow(double x, double y) => Exp(y * Log(x));
}
