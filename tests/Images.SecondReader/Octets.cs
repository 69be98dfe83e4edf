using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace XenTwoLevelCkpt.Images.SecondReader;

// The conventions of section 1.
internal static class Octets
{
    public const ulong LastTime = 253402300799999999;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static ushort U16(ReadOnlySpan<byte> octets, int at) => BinaryPrimitives.ReadUInt16LittleEndian(octets[at..]);

    public static uint U32(ReadOnlySpan<byte> octets, int at) => BinaryPrimitives.ReadUInt32LittleEndian(octets[at..]);

    public static ulong U64(ReadOnlySpan<byte> octets, int at) => BinaryPrimitives.ReadUInt64LittleEndian(octets[at..]);

    public static Guid Id(ReadOnlySpan<byte> octets, int at) => new(octets.Slice(at, 16), bigEndian: true);

    public static bool AllZero(ReadOnlySpan<byte> octets) => !octets.ContainsAnyExcept((byte)0);

    public static ulong Time(ReadOnlySpan<byte> octets, int at)
    {
        ulong time = U64(octets, at);
        Rule.Require(time <= LastTime, "1", "a time is not later than the year 9999");
        return time;
    }

    public static string Name(ReadOnlySpan<byte> octets)
    {
        string name;
        try
        {
            name = StrictUtf8.GetString(octets);
        }
        catch (DecoderFallbackException e)
        {
            throw new FormatViolationException("1", "a name is valid UTF-8", e);
        }

        Rule.Require(name.Length > 0, "1", "a name is not empty");
        Rule.Require(HasNoControls(name), "1", "a name has no control characters");
        return name;
    }

    // As manifests and layers have it: lower-case, with hyphens.
    public static bool TryId(string text, out Guid id) => Guid.TryParseExact(text, "D", out id) && id.ToString("D") == text;

    public static bool HasNoControls(string text) => !text.Any(char.IsControl);
}

// What is read from front to back, with the position for END's file length.
internal sealed class OctetSource(Stream stream)
{
    private byte[] _frame = [];

    public ulong Position { get; private set; }

    public byte[] Take(int count, string section, string what)
    {
        byte[] octets = new byte[count];
        int got = stream.ReadAtLeast(octets, count, throwOnEndOfStream: false);
        Rule.Require(got == count, section, $"the file does not end inside {what}");
        Position += (ulong)count;
        return octets;
    }

    // Of what section 5.7 lists, in its order.
    public void Frame(params byte[][] octets) => _frame = [.. _frame, .. octets.SelectMany(o => o)];

    public string Digest() => Convert.ToHexStringLower(SHA256.HashData(_frame));

    public bool IsAtEnd() => stream.ReadByte() < 0;
}
