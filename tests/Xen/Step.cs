using System.Globalization;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>One line of a stepper: <c>step N hash H pages P ms T</c>.</summary>
internal sealed partial record Step(long Number, string Hash, long Pages, long Milliseconds)
{
    internal static List<Step> Parse(IEnumerable<string> log) =>
        [.. log.Select(line => Line().Match(line.TrimEnd('\r'))).Where(m => m.Success).Select(m => new Step(
            long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture), m.Groups[2].Value,
            long.Parse(m.Groups[3].Value, CultureInfo.InvariantCulture),
            long.Parse(m.Groups[4].Value, CultureInfo.InvariantCulture)))];

    /// <summary>Fails where the guest found its memory or disk broken, or ended.</summary>
    internal static void AssertWhole(string[] log) => Assert.DoesNotContain(
        log, line => line.Contains("BROKEN", StringComparison.Ordinal)
            || line.Contains("ended with exit code", StringComparison.Ordinal)
            || line.Contains("Segmentation fault", StringComparison.Ordinal)
            || line.Contains("Out of memory", StringComparison.Ordinal));

    [GeneratedRegex(@"^step (\d+) hash ([0-9a-f]{16}) pages (\d+) ms (\d+)$")]
    private static partial Regex Line();
}
