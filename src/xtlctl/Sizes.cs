using System.CommandLine.Parsing;
using System.Globalization;

namespace XenTwoLevelCkpt.Control;

/// <summary>Sizes on the command line: a whole number of bytes, or of K, M, G, T (powers of 1024).</summary>
internal static class Sizes
{
    /// <summary>Reads an option's value, and reports one that makes no sense.</summary>
    internal static long Parse(ArgumentResult result)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (TryParse(text, out long bytes))
        {
            return bytes;
        }

        result.AddError($"'{text}' is no size: a whole number of bytes, or of K, M, G or T, such as 64M.");
        return 0;
    }

    internal static bool TryParse(string text, out long bytes)
    {
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch
        {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            'T' => 40,
            _ => 0,
        };
        string digits = shift == 0 ? text : text[..^1];
        bool ok = long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            && number > 0 && number <= long.MaxValue >> shift;
        bytes = ok ? number << shift : 0;
        return ok;
    }

    /// <summary>A size with a unit, exact where it is a whole number of one.</summary>
    internal static string Text(long bytes)
    {
        (int shift, string unit) = bytes switch
        {
            >= 1L << 40 when bytes % (1L << 40) == 0 => (40, "T"),
            >= 1L << 30 when bytes % (1L << 30) == 0 => (30, "G"),
            >= 1L << 20 => (20, "M"),
            _ => (10, "K"),
        };
        return bytes % (1L << shift) == 0
            ? $"{bytes >> shift}{unit}"
            : string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << shift):F1}{unit}");
    }
}
