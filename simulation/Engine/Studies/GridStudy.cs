namespace XenTwoLevelCkpt.Simulation.Studies;

/// <summary>A study of points, each run with some seeds.</summary>
/// <typeparam name="TPoint">What describes a point.</typeparam>
/// <param name="points">The points.</param>
/// <param name="seeds">Runs for each, at least 1.</param>
/// <param name="firstSeed">The first one's seed; points share seeds, so that they see the same workloads.</param>
/// <param name="run">Runs a point with a seed.</param>
public sealed class GridStudy<TPoint>(
    IReadOnlyList<TPoint> points, int seeds, ulong firstSeed, Func<TPoint, ulong, double[]> run) : Study
{
    private readonly int _seeds = seeds is >= 1 and <= 100_000
        ? seeds
        : throw new SettingsException($"{seeds} seeds: there have to be 1 to 100000");

    /// <summary>The points.</summary>
    public IReadOnlyList<TPoint> Points => points;

    /// <inheritdoc/>
    public override int Jobs => points.Count * _seeds;

    /// <inheritdoc/>
    public override double[] RunJob(int job) => run(points[job / _seeds], firstSeed + (ulong)(job % _seeds));

    /// <summary>Mean and interval of one number of a point.</summary>
    /// <param name="results">The results of all jobs.</param>
    /// <param name="point">The point's place.</param>
    /// <param name="value">The number's place in what a run gives.</param>
    public Summary SummaryOf(IReadOnlyList<double[]> results, int point, int value) =>
        Summary.Of([.. Enumerable.Range(point * _seeds, _seeds).Select(job => results[job][value])]);
}
