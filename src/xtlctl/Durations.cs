using System.CommandLine.Parsing;
using System.Globalization;

namespace XenTwoLevelCkpt.Control;

/// <summary>Durations on the command line: a number with the unit ms, s, m or h.</summary>
internal static class Durations
{
    private static readonly (string Unit, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)];

    /// <summary>Parses <c>200ms</c>, <c>5s</c>, <c>1.5m</c> or <c>2h</c>.</summary>
    /// <param name="text">The text.</param>
    /// <param name="value">The duration, positive.</param>
    internal static bool TryParse(string text, out TimeSpan value)
    {
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

    /// <summary>The parser that System.CommandLine calls for an option.</summary>
    /// <param name="result">The option's argument.</param>
    internal static TimeSpan Parse(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (!TryParse(text, out TimeSpan value))
        {
            result.AddError($"'{text}' is no duration; write a number with ms, s, m or h, such as 200ms or 5s.");
        }

        return value;
    }
}
