namespace XenTwoLevelCkpt.Simulation.Studies;

/// <summary>Intervals between checkpoints by formula. All times are in one unit.</summary>
public static class Intervals
{
    /// <summary>Young 1974: sqrt(2 delta M).</summary>
    /// <param name="cost">delta, the time of a checkpoint.</param>
    /// <param name="betweenFailures">M, the mean time between failures.</param>
    public static double Young(double cost, double betweenFailures) => Math.Sqrt(2 * cost * betweenFailures);

    /// <summary>Daly 2006, equation 37: for delta below 2M Young's with two more terms, less delta; else M.</summary>
    /// <param name="cost">delta, the time of a checkpoint.</param>
    /// <param name="betweenFailures">M, the mean time between failures.</param>
    /// <returns>The time of work between two checkpoints.</returns>
    public static double Daly(double cost, double betweenFailures)
    {
        if (cost >= 2 * betweenFailures)
        {
            return betweenFailures;
        }

        double ratio = cost / (2 * betweenFailures);
        return (Young(cost, betweenFailures) * (1 + (Math.Sqrt(ratio) / 3) + (ratio / 9))) - cost;
    }

    /// <summary>Di and others, SC 2013: the work of length T_e is cut into x* = sqrt(T_e E(Y) / (2 C)) intervals.</summary>
    /// <param name="work">T_e, the length of the work.</param>
    /// <param name="failures">E(Y), the failures expected during it.</param>
    /// <param name="cost">C, the time of a checkpoint.</param>
    /// <returns>T_e / x*, at most T_e: there is at least one interval.</returns>
    public static double Di(double work, double failures, double cost) =>
        work / Math.Max(1, Math.Sqrt(work * failures / (2 * cost)));

    /// <summary>The abscissa of the least of a curve through points of rising abscissa: the vertex of the parabola
    /// through the lowest point and its neighbours, or an end.</summary>
    /// <param name="points">At least three points.</param>
    public static double Least(IReadOnlyList<(double X, double Y)> points)
    {
        ArgumentNullException.ThrowIfNull(points);
        int least = 0;
        for (int i = 1; i < points.Count; i++)
        {
            least = points[i].Y < points[least].Y ? i : least;
        }

        if (least == 0 || least == points.Count - 1)
        {
            return points[least].X;
        }

        (double x0, double y0) = points[least - 1];
        (double x1, double y1) = points[least];
        (double x2, double y2) = points[least + 1];
        double left = (x1 - x0) * (y1 - y2), right = (x1 - x2) * (y1 - y0);
        return left == right ? x1 : x1 - ((((x1 - x0) * left) - ((x1 - x2) * right)) / (2 * (left - right)));
    }
}
