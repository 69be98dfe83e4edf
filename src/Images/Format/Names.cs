using System.Text;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Names in records: UTF-8 without control characters, and without what UTF-8 forbids.</summary>
internal static partial class Names
{
    /// <summary>The longest disk name: leaves room for the UUID and the suffixes in a file name of 255 bytes.</summary>
    internal const int MaxDiskName = 64;

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

    /// <summary>True for a name that a file may hold.</summary>
    internal static bool IsName(string name, int max = ImageFormat.MaxNameLength)
    {
        try
        {
            return name.Length > 0 && Strict.GetByteCount(name) <= max && !HasControls(name);
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    /// <summary>True for the names of disks, which become parts of file names.</summary>
    internal static bool IsDisk(string name) => Disk().IsMatch(name);

    /// <summary>True for an identity as layers and manifests have it: lower-case, with hyphens.</summary>
    internal static bool TryParseId(string text, out Guid id) =>
        Guid.TryParseExact(text, "D", out id) && id.ToString("D") == text;

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

    [GeneratedRegex(@"\A[A-Za-z0-9_-]{1,64}\z", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Disk();
}
