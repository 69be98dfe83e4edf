using System.Globalization;

namespace XenTwoLevelCkpt.Checkpointing.Settings;

/// <summary>Sizes as operators write them: a whole number of bytes, or of K, M, G, T (powers of 1024).</summary>
public static class Sizes
{
    /// <summary>Parses a size.</summary>
    /// <param name="text">The text.</param>
    /// <param name="bytes">Its bytes, positive.</param>
    public static bool TryParse(string text, out long bytes)
    {
        ArgumentNullException.ThrowIfNull(text);
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
    /// <param name="bytes">The bytes.</param>
    public static string Text(long bytes)
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
