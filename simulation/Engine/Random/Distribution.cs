using System.Globalization;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Random;

/// <summary>The shapes of <see cref="Distribution"/>.</summary>
public enum DistributionKind
{
    /// <summary>Always the mean.</summary>
    Constant,

    /// <summary>Exponential.</summary>
    Exponential,

    /// <summary>Uniform from mean (1 - shape) to mean (1 + shape), shape from 0 to 1: a jittered timer.</summary>
    Jittered,

    /// <summary>Pareto with tail exponent shape, above 1: heavy tail.</summary>
    Pareto,

    /// <summary>Weibull with the given shape, above 0. Schroeder and Gibson (DSN 2006) fit 0.7 to 0.8 to times between
    /// failures.</summary>
    Weibull,

    /// <summary>Lognormal; shape is the standard deviation of the logarithm, above 0. Schroeder and Gibson fit it to
    /// times of repair.</summary>
    LogNormal,

    /// <summary>One of the recorded lengths, all alike.</summary>
    Recorded,
}

/// <summary>A distribution of lengths of time.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly record struct Distribution
{
    // Scale by which a standard variate of the kind is multiplied to give nanoseconds.
    private readonly double _scale;

    private readonly double[]? _recorded;

    /// <summary>Makes a distribution.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="mean">Its mean in seconds, at least 0.</param>
    /// <param name="shape">As the kind says; unused for some.</param>
    /// <exception cref="SettingsException">Mean or shape are outside their range.</exception>
    public Distribution(DistributionKind kind, double mean, double shape = 0)
    {
        if (!(mean >= 0 && mean < 1e9))
        {
            throw new SettingsException($"a mean of {mean} s is no length of time; it has to be from 0 to 1e9 s");
        }

        bool valid = kind switch
        {
            DistributionKind.Constant or DistributionKind.Exponential => true,
            DistributionKind.Jittered => shape is >= 0 and <= 1,
            DistributionKind.Pareto => shape is > 1 and < 1000,
            DistributionKind.Weibull => shape is >= 0.1 and < 1000,
            DistributionKind.LogNormal => shape is > 0 and < 10,
            _ => false,
        };
        if (!valid)
        {
            throw new SettingsException($"a shape of {shape} is outside the range of {Name(kind)} "
                + "(jitter 0..1, pareto above 1, weibull 0.1 or more, lognormal above 0)");
        }

        Kind = kind;
        Mean = mean;
        Shape = shape;
        _scale = mean * 1e9 * kind switch
        {
            DistributionKind.Pareto => (shape - 1) / shape,
            DistributionKind.Weibull => 1 / Gamma(1 + (1 / shape)),
            DistributionKind.LogNormal => Portable.Exp(-shape * shape / 2),
            _ => 1,
        };
    }

    /// <summary>Lengths of time that were measured.</summary>
    /// <param name="seconds">At least one, none below 0.</param>
    /// <exception cref="SettingsException">There is none, or one is no length of time.</exception>
    public Distribution(IReadOnlyList<double> seconds)
    {
        ArgumentNullException.ThrowIfNull(seconds);
        if (seconds.Count == 0 || seconds.Any(value => !(value >= 0 && value < 1e9)))
        {
            throw new SettingsException("recorded lengths of time: there has to be at least one, and none below 0");
        }

        Kind = DistributionKind.Recorded;
        Mean = seconds.Average();
        _recorded = [.. seconds];
        _scale = 1e9;
    }

    /// <summary>Its kind.</summary>
    public DistributionKind Kind { get; }

    /// <summary>Its mean in seconds.</summary>
    public double Mean { get; }

    /// <summary>Its shape; see <see cref="DistributionKind"/>.</summary>
    public double Shape { get; }

    /// <summary>Draws a length of time.</summary>
    /// <param name="stream">Where from.</param>
    /// <returns>Nanoseconds, 0 or more; never so many that a queue could not hold them.</returns>
    public long Next(ref RandomStream stream)
    {
        double value = Kind switch
        {
            DistributionKind.Exponential => stream.NextExponential(),
            DistributionKind.Constant => 1,
            DistributionKind.Jittered => 1 + (Shape * ((2 * stream.NextUnit()) - 1)),
            DistributionKind.Pareto => Portable.Exp(-Portable.Log(stream.NextPositiveUnit()) / Shape),
            DistributionKind.Weibull => Weibull(ref stream),
            DistributionKind.Recorded => _recorded![stream.NextBelow(_recorded.Length)],
            _ => Portable.Exp(Shape * stream.NextNormal()),
        };

        return Scaled(value);
    }

    /// <summary>The length of time that a standard exponential number gives; the kind has to be exponential.</summary>
    /// <param name="exponential">A number as <see cref="RandomStream.NextExponential"/> draws it.</param>
    /// <returns>What <see cref="Next"/> would return.</returns>
    internal long OfExponential(double exponential) => Scaled(exponential);

    /// <summary>Reads "constant:1ms", "exponential:10s", "jittered:10s,0.1", "pareto:1ms,1.5", "weibull:24h,0.7" or
    /// "lognormal:1h,1"; a length of time alone is constant.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">It is none of these; the message says what was expected.</exception>
    public static Distribution Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        string name = colon < 0 ? "constant" : text[..colon];
        string[] parts = text[(colon + 1)..].Split(',');
        DistributionKind kind = name.ToLowerInvariant() switch
        {
            "constant" or "const" => DistributionKind.Constant,
            "exponential" or "exp" => DistributionKind.Exponential,
            "jittered" or "jitter" => DistributionKind.Jittered,
            "pareto" => DistributionKind.Pareto,
            "weibull" => DistributionKind.Weibull,
            "lognormal" => DistributionKind.LogNormal,
            _ => throw new FormatException($"'{text}': no distribution is called '{name}'; there are constant, "
                + "exponential, jittered, pareto, weibull, lognormal"),
        };
        double shape = 0;
        bool shaped = kind is not (DistributionKind.Constant or DistributionKind.Exponential);
        if (parts.Length != (shaped ? 2 : 1)
            || (shaped && !double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out shape)))
        {
            throw new FormatException($"'{text}': expected {Name(kind)}:{(shaped ? "MEAN,SHAPE" : "MEAN")}, "
                + $"such as {Name(kind)}:10ms{(shaped ? ",1.5" : "")}");
        }

        try
        {
            return new Distribution(kind, TimeText.ParseSeconds(parts[0]), shape);
        }
        catch (SettingsException e)
        {
            throw new FormatException($"'{text}': {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        DistributionKind.Constant or DistributionKind.Exponential => $"{Name(Kind)}:{Mean:R}s",
        _ => $"{Name(Kind)}:{Mean:R}s,{Shape:R}",
    };

    private static string Name(DistributionKind kind) => kind.ToString().ToLowerInvariant();

    private long Scaled(double value)
    {
        // 2^60 ns are 36 years: past the end of every run, far enough from the horizon to be added to a time.
        const double most = 1L << 60;
        double nanoseconds = value * _scale;
        return double.ConvertToIntegerNative<long>(nanoseconds < most ? nanoseconds : most);
    }

    private double Weibull(ref RandomStream stream)
    {
        double e = stream.NextExponential();
        return e > 0 ? Portable.Pow(e, 1 / Shape) : 0;
    }

    // Lanczos' approximation with g = 7 (Godfrey's coefficients), good to 1e-13 for arguments of 1 and more.
    private static double Gamma(double x)
    {
        ReadOnlySpan<double> c =
        [
            0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
            12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
        ];
        x -= 1;
        double a = c[0], t = x + 7.5;
        for (int i = 1; i < c.Length; i++)
        {
            a += c[i] / (x + i);
        }

        return Math.Sqrt(2 * Math.PI) * Portable.Exp(((x + 0.5) * Portable.Log(t)) - t) * a;
    }
}
