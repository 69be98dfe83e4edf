using System.Buffers;
using System.Text;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>The value of the trailer grpc-message: UTF-8, of which all but printable ASCII, and the percent sign, is
/// written as % and two hexadecimal digits (PROTOCOL-HTTP2, "Responses").</summary>
internal static class StatusText
{
    /// <summary>Octets of a message that are sent. Clients commonly take 8 KiB of trailers in all, and an encoded octet
    /// is three.</summary>
    internal const int MaxOctets = 2048;

    private static readonly SearchValues<char> Unencoded = SearchValues.Create(
        [.. Enumerable.Range(0x20, 0x7F - 0x20).Select(c => (char)c).Where(c => c != '%')]);

    /// <summary>Encodes a message; cuts what is beyond <see cref="MaxOctets"/>.</summary>
    internal static string Encode(string text)
    {
        if (text.Length <= MaxOctets && !text.AsSpan().ContainsAnyExcept(Unencoded))
        {
            return text;
        }

        byte[] octets = Encoding.UTF8.GetBytes(text);
        int length = octets.Length;
        if (length > MaxOctets)
        {
            // Not within a character.
            for (length = MaxOctets; (octets[length] & 0xC0) == 0x80; length--)
            {
            }
        }

        var encoded = new StringBuilder(length + 64);
        foreach (byte octet in octets.AsSpan(0, length))
        {
            _ = octet is >= 0x20 and <= 0x7E and not (byte)'%'
                ? encoded.Append((char)octet)
                : encoded.Append('%').Append(octet.ToString("X2"));
        }

        return encoded.ToString();
    }

    /// <summary>Decodes a message. What is encoded wrongly stays as it is: a broken message is better than none.</summary>
    internal static string Decode(string text)
    {
        if (!text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        byte[] octets = Encoding.UTF8.GetBytes(text);
        int length = 0;
        for (int at = 0; at < octets.Length; at++)
        {
            if (octets[at] == '%' && at + 2 < octets.Length
                && char.IsAsciiHexDigit((char)octets[at + 1]) && char.IsAsciiHexDigit((char)octets[at + 2]))
            {
                octets[length++] = (byte)((Digit(octets[at + 1]) << 4) | Digit(octets[at + 2]));
                at += 2;
            }
            else
            {
                octets[length++] = octets[at];
            }
        }

        return Encoding.UTF8.GetString(octets, 0, length);
    }

    private static int Digit(byte c) => c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}
