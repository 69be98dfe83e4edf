using XenTwoLevelCkpt.Simulation.Studies;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class StudyTests
{
    // In minutes; from Daly's paper, as facts on intervals cite it.
    [Theory]
    [InlineData(24 * 60, 117)]
    [InlineData(6 * 60, 57)]
    [InlineData(15, 9.1)]
    public void Daly_gives_the_published_intervals(double betweenFailures, double interval) =>
        Assert.Equal(interval, Intervals.Daly(5, betweenFailures), interval < 10 ? 0.05 : 0.5);

    [Fact]
    public void Formulas_agree_where_they_should()
    {
        Assert.Equal(120, Intervals.Young(5, 1440));
        Assert.Equal(3, Intervals.Daly(6, 3));
        Assert.Equal(Intervals.Young(5, 1440), Intervals.Di(100_000, 100_000.0 / 1440, 5), 1e-9);

        // Di and others: T_e = 18 s, C = 2 s, E(Y) = 2 gives three intervals.
        Assert.Equal(6, Intervals.Di(18, 2, 2), 1e-12);
        Assert.Equal(10, Intervals.Di(10, 0.001, 5));
    }

    [Fact]
    public void The_least_of_a_parabola_is_found() =>
        Assert.Equal(1.3, Intervals.Least([.. new[] { -2.0, 0, 1, 3, 5 }.Select(x => (x, 2 + ((x - 1.3) * (x - 1.3))))]), 1e-12);

    [Theory]
    [InlineData(1, 12.706)]
    [InlineData(4, 2.776)]
    [InlineData(10, 2.228)]
    [InlineData(29, 2.045)]
    [InlineData(1000, 1.962)]
    public void Students_quantiles_are_those_of_the_tables(int freedom, double quantile) =>
        Assert.Equal(quantile, Summary.Student(freedom), 0.005 * quantile);

    [Fact]
    public void A_summary_is_mean_and_interval()
    {
        Summary summary = Summary.Of([1, 2, 3, 4, 5]);
        Assert.Equal(3, summary.Mean);

        // s = 1.5811, t = 2.776: 2.776 * 1.5811 / sqrt(5).
        Assert.Equal(1.963, summary.HalfWidth, 0.005);
        Assert.Equal(0, Summary.Of([7]).HalfWidth);
    }

    [Fact]
    public void Figure_5_has_every_reading()
    {
        var study = new Figure5(seeds: 2, firstSeed: 1, largest: 40);
        IReadOnlyList<Figure5Point> points = study.PointsOf(
            study.RunJobs([.. Enumerable.Range(0, study.Jobs)], threads: 2));
        Assert.Equal(24, points.Select(p => (p.Events, p.BasicPerNode, p.Weight, p.Plain)).Distinct().Count());
        Assert.All(points.Where(p => p.Vms == 8), p => Assert.Equal(0, p.GroupForced.Mean));
        foreach (Figure5Point p in points.Where(p => p.Weight == 8))
        {
            Figure5Point once = points.Single(q => q == q with
            {
                Events = p.Events,
                BasicPerNode = p.BasicPerNode,
                Weight = 1,
                Plain = p.Plain,
                Vms = p.Vms,
            });
            Assert.Equal(8 * once.GroupForced.Mean, p.GroupForced.Mean, 1e-6);
            Assert.Equal((p.Plain == PlainReading.NodesUniform ? 8 : 1) * once.PlainForced.Mean, p.PlainForced.Mean, 1e-6);
        }
    }

    [Fact]
    public void A_failing_job_fails_its_study() =>
        Assert.Throws<SettingsException>(() => new GridStudy<int>(
            [1, 2], 3, 1, (point, _) => point == 2 ? throw new SettingsException("no") : [0])
            .RunJobs([0, 1, 2, 3, 4, 5], threads: 2));
}
