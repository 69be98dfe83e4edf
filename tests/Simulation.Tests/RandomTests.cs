using System.Runtime.Intrinsics;
using XenTwoLevelCkpt.Simulation.Random;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class RandomTests
{
    private const int Draws = 100_000;

    // The 0.999 quantile of Kolmogorov's distribution, for sqrt(n) D.
    private const double Kolmogorov = 1.95;

    [Fact]
    public void Logarithm_exponential_and_power_agree_with_the_library()
    {
        var random = new RandomStream(1, 0, 0);
        for (int i = 0; i < Draws; i++)
        {
            double x = Math.Exp((random.NextUnit() - 0.5) * 1400);
            double log = Math.Log(x);
            Assert.True(Math.Abs(Portable.Log(x) - log) <= 4e-16 * Math.Max(1, Math.Abs(log)), $"log {x:R}");
            Assert.True(Math.Abs((Portable.Exp(log) / Math.Exp(log)) - 1) <= 2e-15, $"exp {log:R}");
        }

        Assert.Equal(0, Portable.Log(1));
        Assert.Equal(8, Portable.Pow(4, 1.5), 1e-14);
    }

    [Fact]
    public void Four_logarithms_at_once_are_the_four_to_the_last_bit()
    {
        var random = new RandomStream(1, 0, 0);
        for (int i = 0; i < Draws; i++)
        {
            double[] x =
            [
                random.NextPositiveUnit(), Math.Exp((random.NextUnit() - 0.5) * 1400), Math.ScaleB(1, -(i % 1000)),
                1 - Math.ScaleB(1, -1 - (i % 53)),
            ];
            Vector256<double> logs = Portable.Log(Vector256.Create(x));
            for (int lane = 0; lane < 4; lane++)
            {
                Assert.Equal(
                    BitConverter.DoubleToInt64Bits(Portable.Log(x[lane])), BitConverter.DoubleToInt64Bits(logs[lane]));
            }
        }
    }

    [Fact]
    public void Peeking_shows_what_will_be_drawn()
    {
        var random = new RandomStream(1, 2, 3);
        for (int draws = 0; draws < 5; draws++)
        {
            double peeked = random.PeekPositiveUnit(draws);
            RandomStream copy = random;
            copy.Skip(draws);
            Assert.Equal(peeked, copy.NextPositiveUnit());
            _ = random.Next();
        }
    }

    [Theory]
    [InlineData("exponential:2s")]
    [InlineData("jittered:2s,0.25")]
    [InlineData("pareto:2s,2.5")]
    [InlineData("weibull:2s,0.7")]
    [InlineData("weibull:2s,3")]
    [InlineData("lognormal:2s,0.5")]
    public void Draws_have_the_distribution_that_they_claim(string text)
    {
        Distribution distribution = Distribution.Parse(text);
        var random = new RandomStream(7, 1, 3);
        double[] draws = [.. Enumerable.Range(0, Draws).Select(_ => distribution.Next(ref random) / 1e9)];
        Array.Sort(draws);
        double distance = 0;
        for (int i = 0; i < Draws; i++)
        {
            double f = Cumulative(distribution, draws[i]);
            distance = Math.Max(distance, Math.Max(f - ((double)i / Draws), ((i + 1.0) / Draws) - f));
        }

        Assert.InRange(distance * Math.Sqrt(Draws), 0, Kolmogorov);
        Assert.InRange(draws.Average(), 1.9, 2.1);
    }

    [Fact]
    public void Recorded_lengths_are_drawn_alike()
    {
        var distribution = new Distribution([1, 2, 4]);
        var random = new RandomStream(7, 1, 3);
        var counts = Enumerable.Range(0, 30_000).GroupBy(_ => distribution.Next(ref random) / 1_000_000_000)
            .ToDictionary(group => group.Key, group => group.Count());
        Assert.Equal([1, 2, 4], counts.Keys.Order());
        Assert.All(counts.Values, count => Assert.InRange(count, 9_600, 10_400));
    }

    [Fact]
    public void Streams_of_entities_and_purposes_share_nothing()
    {
        var seen = new HashSet<ulong>();
        foreach (ulong seed in new ulong[] { 1, 2 })
        {
            for (uint purpose = 0; purpose < 4; purpose++)
            {
                for (uint entity = 0; entity < 500; entity++)
                {
                    var stream = new RandomStream(seed, purpose, entity);
                    for (int i = 0; i < 10; i++)
                    {
                        Assert.True(seen.Add(stream.Next()));
                    }
                }
            }
        }
    }

    [Fact]
    public void Numbers_below_a_bound_are_alike()
    {
        var random = new RandomStream(3, 0, 0);
        int[] counts = new int[7];
        for (int i = 0; i < 70_000; i++)
        {
            counts[random.NextBelow(7)]++;
        }

        // The 0.999 quantile of chi square with six degrees of freedom.
        Assert.InRange(counts.Sum(count => (count - 10_000.0) * (count - 10_000.0) / 10_000), 0, 22.46);
    }

    [Theory]
    [InlineData("exponential")]
    [InlineData("gauss:1s")]
    [InlineData("exponential:-1s")]
    [InlineData("pareto:1s")]
    [InlineData("pareto:1s,0.5")]
    [InlineData("jittered:1s,2")]
    [InlineData("weibull:1s,0")]
    [InlineData("10 parsec")]
    [InlineData("nan")]
    [InlineData("")]
    public void What_is_no_distribution_is_refused_in_one_line(string text)
    {
        var e = Assert.Throws<FormatException>(() => Distribution.Parse(text));
        Assert.DoesNotContain('\n', e.Message);
    }

    [Theory]
    [InlineData("1.5ms", 0.0015)]
    [InlineData("2h", 7200)]
    [InlineData("5min", 300)]
    [InlineData("3", 3)]
    [InlineData("250us", 0.00025)]
    public void Lengths_of_time_have_units(string text, double seconds) =>
        Assert.Equal(seconds, TimeText.ParseSeconds(text), 1e-12);

    // By formula, written down apart from the code under test.
    private static double Cumulative(Distribution d, double x) => d.Kind switch
    {
        DistributionKind.Exponential => 1 - Math.Exp(-x / d.Mean),
        DistributionKind.Jittered => Math.Clamp(((x / d.Mean) - 1 + d.Shape) / (2 * d.Shape), 0, 1),
        DistributionKind.Pareto => Math.Max(0, 1 - Math.Pow(d.Mean * (d.Shape - 1) / d.Shape / x, d.Shape)),

        // Gamma(1 + 1/0.7) = 1.265823506; Gamma(1 + 1/3) = 0.892979512.
        DistributionKind.Weibull => 1 - Math.Exp(
            -Math.Pow(x / (d.Mean / (d.Shape < 1 ? 1.265823506 : 0.892979512)), d.Shape)),
        _ => Normal((Math.Log(x / d.Mean) + (d.Shape * d.Shape / 2)) / d.Shape),
    };

    // Abramowitz and Stegun 26.2.17, good to 7.5e-8.
    private static double Normal(double x)
    {
        double t = 1 / (1 + (0.2316419 * Math.Abs(x)));
        double tail = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI) * t * (0.319381530 + (t * (-0.356563782
            + (t * (1.781477937 + (t * (-1.821255978 + (t * 1.330274429))))))));
        return x > 0 ? 1 - tail : tail;
    }
}
