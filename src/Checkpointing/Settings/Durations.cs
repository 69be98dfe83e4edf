using System.Globalization;

namespace XenTwoLevelCkpt.Checkpointing.Settings;

/// <summary>Durations as operators write them: a number with the unit ms, s, m or h.</summary>
public static class Durations
{
    private static readonly (string Unit, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)];

    /// <summary>Parses <c>200ms</c>, <c>5s</c>, <c>1.5m</c> or <c>2h</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="value">The duration, positive.</param>
    /// <returns>False where it is no duration, or longer than a year.</returns>
    public static bool TryParse(string text, out TimeSpan value)
    {
        ArgumentNullException.ThrowIfNull(text);
        value = default;
        foreach ((string unit, double seconds) in Units)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && double.TryParse(
                    text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture, out double number)
                && number > 0
                && number * seconds <= TimeSpan.FromDays(365).TotalSeconds)
            {
                value = TimeSpan.FromSeconds(number * seconds);
                return value > TimeSpan.Zero;
            }
        }

        return false;
    }
}
