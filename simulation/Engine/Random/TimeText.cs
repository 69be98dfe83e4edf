using System.Globalization;

namespace XenTwoLevelCkpt.Simulation.Random;

/// <summary>Lengths of time as people write them.</summary>
public static class TimeText
{
    private static readonly (string Unit, double Seconds)[] Units =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("min", 60), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

    /// <summary>Reads "1.5ms", "10s", "5min" or "24h"; a number alone is seconds.</summary>
    /// <param name="text">The text.</param>
    /// <returns>Seconds.</returns>
    /// <exception cref="FormatException">It is no length of time.</exception>
    public static double ParseSeconds(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string number = text.Trim();
        double factor = 1;
        foreach ((string unit, double seconds) in Units)
        {
            if (number.EndsWith(unit, StringComparison.Ordinal))
            {
                number = number[..^unit.Length];
                factor = seconds;
                break;
            }
        }

        return double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && double.IsFinite(value) && value >= 0
            ? value * factor
            : throw new FormatException(
                $"'{text}' is no length of time; expected a number of 0 or more and a unit (ns us ms s min h d), such as 10s");
    }
}
