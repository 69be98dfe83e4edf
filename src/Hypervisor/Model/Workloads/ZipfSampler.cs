using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Samples ranks 1 to n with probabilities proportional to 1/rank^s, without a table.</summary>
/// <remarks>Rejection-inversion (Hörmann, Derflinger: Rejection-inversion to generate variates from monotone
/// discrete distributions, 1996): invert the integral H of x^-s over [1/2, n+1/2], round, and reject where the
/// bar of the rank does not reach; fewer than 1.2 tries on average.</remarks>
[StructLayout(LayoutKind.Auto)]
internal readonly struct ZipfSampler
{
    private readonly long _n;
    private readonly double _s;
    private readonly double _lowest;
    private readonly double _highest;
    private readonly double _squeeze;

    internal ZipfSampler(long n, double s)
    {
        _n = n;
        _s = s;
        _lowest = H(1.5) - 1;
        _highest = H(n + 0.5);
        _squeeze = 2 - Inverse(H(2.5) - Math.Pow(2, -s));
    }

    internal bool IsFor(long n, double s) => _n == n && _s.Equals(s);

    internal long Next(ref ulong generator)
    {
        while (true)
        {
            double unit = (SplitMix.Next(ref generator) >> 11) * (1.0 / (1UL << 53));
            double u = _highest + (unit * (_lowest - _highest));
            double x = Inverse(u);
            long rank = Math.Clamp((long)(x + 0.5), 1, _n);
            if (rank - x <= _squeeze || u >= H(rank + 0.5) - Math.Pow(rank, -_s))
            {
                return rank;
            }
        }
    }

    /// <summary>(x^(1-s) - 1) / (1-s), which is ln x for s = 1.</summary>
    private double H(double x)
    {
        double t = (1 - _s) * Math.Log(x);
        return Math.Abs(t) < 1e-9 ? Math.Log(x) : (Math.Exp(t) - 1) / (1 - _s);
    }

    private double Inverse(double y)
    {
        double t = y * (1 - _s);
        return Math.Abs(t) < 1e-9 ? Math.Exp(y) : Math.Exp(Math.Log(1 + t) / (1 - _s));
    }
}
