using System.Text;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Names in records: UTF-8 without control characters, and without what UTF-8 forbids.</summary>
internal static class Names
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    internal static bool TryDecode(ReadOnlySpan<byte> bytes, out string name)
    {
        try
        {
            name = Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            name = "";
        }

        return name.Length > 0 == bytes.Length > 0 && !HasControls(name);
    }

    /// <summary>The bytes of a name.</summary>
    /// <exception cref="ArgumentException">It cannot be stored.</exception>
    internal static byte[] Encode(string name, int max = ImageFormat.MaxNameLength)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        byte[] bytes = Strict.GetBytes(name);
        return bytes.Length > max || HasControls(name)
            ? throw new ArgumentException(
                $"A name has 1 to {max} bytes of UTF-8 and no control characters.", nameof(name))
            : bytes;
    }

    internal static void CheckLabel(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        if (label.Length > 0)
        {
            _ = Encode(label, ImageFormat.MaxLabelLength);
        }
    }

    private static bool HasControls(string name)
    {
        foreach (char c in name)
        {
            if (char.IsControl(c))
            {
                return true;
            }
        }

        return false;
    }
}
