using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Studies;

/// <summary>Mean and 95% confidence interval (Student's t) of independent runs.</summary>
/// <param name="Count">Runs.</param>
/// <param name="Mean">Their mean.</param>
/// <param name="HalfWidth">Half the width of the interval; 0 for a single run, of which nothing is known.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct Summary(int Count, double Mean, double HalfWidth)
{
    // The 0.975 quantile of the normal distribution.
    private const double Z = 1.959963984540054;

    /// <summary>Summarises values in the order given: sums of floating-point numbers depend on it.</summary>
    /// <param name="values">At least one value.</param>
    public static Summary Of(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Count == 0)
        {
            throw new ArgumentException("there is nothing to summarise", nameof(values));
        }

        double mean = 0, squares = 0;
        for (int i = 0; i < values.Count; i++)
        {
            // Welford 1962: no difference of large sums.
            double delta = values[i] - mean;
            mean += delta / (i + 1);
            squares += delta * (values[i] - mean);
        }

        int freedom = values.Count - 1;
        return new Summary(
            values.Count, mean, freedom == 0 ? 0 : Student(freedom) * Math.Sqrt(squares / freedom / values.Count));
    }

    /// <summary>The 0.975 quantile of Student's t: exact for one and two degrees of freedom, then the expansion of
    /// Abramowitz and Stegun 26.7.5, good to 0.5% at three degrees and to 1e-4 from eight on.</summary>
    /// <param name="freedom">Degrees of freedom, at least 1.</param>
    public static double Student(int freedom)
    {
        const double z3 = Z * Z * Z, z5 = z3 * Z * Z, z7 = z5 * Z * Z, z9 = z7 * Z * Z;
        double n = freedom;
        return freedom switch
        {
            1 => 12.706204736432095,
            2 => 4.302652729696142,
            _ => Z + ((z3 + Z) / (4 * n)) + (((5 * z5) + (16 * z3) + (3 * Z)) / (96 * n * n))
                + (((3 * z7) + (19 * z5) + (17 * z3) - (15 * Z)) / (384 * n * n * n))
                + (((79 * z9) + (776 * z7) + (1482 * z5) - (1920 * z3) - (945 * Z)) / (92160 * n * n * n * n)),
        };
    }
}
