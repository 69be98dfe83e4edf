using System.Runtime.CompilerServices;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Files;

/// <summary>Names of files as the kernel has them: octets, not text. A <b>raw</b> path is a string with one character for
/// each octet (ISO 8859-1), so that names that are no UTF-8 come through unchanged, and strings' operations work.</summary>
public static class RawPath
{
    /// <summary>What a path has at most, its final zero included (<c>PATH_MAX</c>).</summary>
    public static readonly int MaxLength = LinuxLimits.PATH_MAX;

    /// <summary>The raw form of a path that is text.</summary>
    /// <param name="text">The path.</param>
    public static string From(string text) => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text));

    /// <summary>A raw path as text, for messages: what is no UTF-8 becomes replacement characters.</summary>
    /// <param name="raw">The raw path.</param>
    public static string ToText(string raw) => Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(raw));

    /// <summary>Encodes a path for C.</summary>
    /// <param name="raw">The raw path.</param>
    /// <param name="onStack">Receives its octets and a zero; <see cref="MaxLength"/> octets. Memory of the stack, which does
    /// not move.</param>
    /// <returns>The first octet; good for as long as the caller's frame.</returns>
    /// <exception cref="PathTooLongException">It does not fit.</exception>
    internal static unsafe byte* Encode(string raw, Span<byte> onStack)
    {
        if (raw.Length >= onStack.Length)
        {
            throw new PathTooLongException($"{ToText(raw[..60])}... has {raw.Length} octets, which is too long for a path.");
        }

        int length = Encoding.Latin1.GetBytes(raw, onStack);
        onStack[length] = 0;

        // unsafe: libc takes pointers. Safe: what is on the stack stays where it is, and the octets end with a zero.
        return (byte*)Unsafe.AsPointer(ref onStack[0]);
    }
}
