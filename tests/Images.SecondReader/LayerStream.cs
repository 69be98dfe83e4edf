using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.SecondReader;

// The blocks of a layer's stream.
internal sealed class BlockSource(ReadOnlyMemory<byte> stream)
{
    public const int Size = 512;

    private int _at;

    public bool IsAtEnd => _at == stream.Length;

    public ReadOnlyMemory<byte> TakeBlock()
    {
        Rule.Require(stream.Length - _at >= Size, Layer.Section, "the stream does not end inside a block, or without blocks of zeros");
        _at += Size;
        return stream.Slice(_at - Size, Size);
    }

    public bool TakesZeros() => Octets.AllZero(TakeBlock().Span);

    public ReadOnlyMemory<byte> TakeContents(ulong size)
    {
        Rule.Require(size <= (ulong)(stream.Length - _at), Layer.Section, "the stream does not end inside contents");
        ReadOnlyMemory<byte> contents = stream.Slice(_at, (int)size);
        int padding = (Size - ((int)size % Size)) % Size;
        Rule.Require(padding <= stream.Length - _at - contents.Length, Layer.Section, "contents are padded to whole blocks");
        Rule.Require(
            Octets.AllZero(stream.Span.Slice(_at + contents.Length, padding)), Layer.Section, "contents are padded with zeros");
        _at += contents.Length + padding;
        return contents;
    }
}

// A header of ustar. What is always the same in it is checked here.
internal sealed class TarHeader
{
    private const int NameSize = 100;
    private const int ChecksumAt = 148;
    private const long LongestTime = (1L << 33) - 1;

    private readonly ReadOnlyMemory<byte> _octets;

    private TarHeader(ReadOnlyMemory<byte> block)
    {
        _octets = block;
        ReadOnlySpan<byte> octets = block.Span;
        Mode = (int)Octal(octets, 100, 7);
        Owner = Octal(octets, 108, 7);
        Group = Octal(octets, 116, 7);
        Size = (ulong)Octal(octets, 124, 11);
        Time = Octal(octets, 136, 11);
        Type = (char)octets[156];
        Major = (int)Octal(octets, 329, 7);
        Minor = (int)Octal(octets, 337, 7);
        CheckChecksum(octets);
        Rule.Require(Mode <= 0xFFF, Layer.Section, "a mode has 12 bits");
        Rule.Require(Octets.AllZero(octets[157..257]), Layer.Section, "the header has no name of a link");
        Rule.Require(octets[257..265].SequenceEqual("ustar\000"u8), Layer.Section, "the magic is ustar, the version 00");
        Rule.Require(Octets.AllZero(octets[265..329]), Layer.Section, "the names of owners are empty");
        Rule.Require(Octets.AllZero(octets[345..]), Layer.Section, "there is no prefix, and zeros are behind it");
    }

    public int Mode { get; }

    public long Owner { get; }

    public long Group { get; }

    public ulong Size { get; }

    public long Time { get; }

    public char Type { get; }

    public int Major { get; }

    public int Minor { get; }

    // Null at a block of zeros.
    public static TarHeader? Read(BlockSource source)
    {
        ReadOnlyMemory<byte> block = source.TakeBlock();
        return Octets.AllZero(block.Span) ? null : new TarHeader(block);
    }

    public void CheckExtended()
    {
        CheckName("pax", 0);
        Rule.Require(
            this is { Mode: 420, Owner: 0, Group: 0, Major: 0, Minor: 0 },
            Layer.Section,
            "an extended header has the mode 0644, and no owners, time and device");
    }

    // The path's beginning and the whole seconds, where there is room for them.
    public void CheckName(string path, long seconds)
    {
        string name = path.Length > NameSize ? path[..NameSize] : path;
        Rule.Require(
            Encoding.Latin1.GetString(_octets.Span[..NameSize]) == name.PadRight(NameSize, '\0'),
            Layer.Section,
            "the header has the first 100 octets of the path");
        Rule.Require(
            Time == Math.Clamp(seconds, 0, LongestTime), Layer.Section, "the header has the seconds of the time");
    }

    private static long Octal(ReadOnlySpan<byte> octets, int at, int digits)
    {
        long number = 0;
        foreach (byte digit in octets.Slice(at, digits))
        {
            Rule.Require(digit is >= (byte)'0' and <= (byte)'7', Layer.Section, "numbers are in octal digits");
            number = (number << 3) + digit - '0';
        }

        Rule.Require(octets[at + digits] == 0, Layer.Section, "NUL is behind a number");
        return number;
    }

    // With spaces in its own place.
    private static void CheckChecksum(ReadOnlySpan<byte> octets)
    {
        long sum = 8 * ' ';
        for (int i = 0; i < octets.Length; i++)
        {
            sum += i is >= ChecksumAt and < ChecksumAt + 8 ? 0 : octets[i];
        }

        Rule.Require(Octal(octets, ChecksumAt, 6) == sum, Layer.Section, "a header's checksum matches");
        Rule.Require(octets[ChecksumAt + 7] == ' ', Layer.Section, "a space is behind the checksum");
    }
}

// The records of an extended header, each once and in the order of section 5.6.
internal sealed partial class PaxRecords
{
    private const string AttributePrefix = "SCHILY.xattr.";
    private const ulong LeastSize = 1UL << 33;
    private const ulong LeastOwner = 1 << 21;

    private static readonly string[] Order = ["path", "linkpath", "mtime", "size", "uid", "gid", "XTL.type", AttributePrefix];

    private readonly Dictionary<string, ReadOnlyMemory<byte>> _attributes = new(StringComparer.Ordinal);
    private string _lastAttribute = "";

    public PaxRecords(ReadOnlySpan<byte> contents)
    {
        int last = -1;
        string? path = null;
        FileTime? modified = null;
        while (!contents.IsEmpty)
        {
            (string keyword, byte[] value) = Next(ref contents);
            bool isAttribute = keyword.StartsWith(AttributePrefix, StringComparison.Ordinal);
            int rank = Array.IndexOf(Order, isAttribute ? AttributePrefix : keyword);
            Rule.Require(rank >= 0, Layer.Section, "the keywords of records are those of the table");
            Rule.Require(rank > last || (isAttribute && rank == last), Layer.Section, "records come once, in the order of the table");
            last = rank;
            string text = Encoding.Latin1.GetString(value);
            switch (keyword)
            {
                case "path":
                    path = PathOf(text);
                    break;
                case "linkpath":
                    Target = PathOf(text);
                    break;
                case "mtime":
                    modified = TimeOf(text);
                    break;
                case "size":
                    Size = Number(text, LeastSize, ulong.MaxValue);
                    break;
                case "uid":
                    Owner = Number(text, LeastOwner, uint.MaxValue);
                    break;
                case "gid":
                    Group = Number(text, LeastOwner, uint.MaxValue);
                    break;
                case "XTL.type":
                    Rule.Require(text == "socket", Layer.Section, "XTL.type is socket");
                    IsSocket = true;
                    break;
                default:
                    AddAttribute(keyword[AttributePrefix.Length..], value);
                    break;
            }
        }

        Path = path ?? throw new FormatViolationException(Layer.Section, "an extended header has path");
        Modified = modified ?? throw new FormatViolationException(Layer.Section, "an extended header has mtime");
    }

    public string Path { get; }

    public string? Target { get; }

    public FileTime Modified { get; }

    public ulong? Size { get; }

    public ulong? Owner { get; }

    public ulong? Group { get; }

    public bool IsSocket { get; }

    public IReadOnlyDictionary<string, ReadOnlyMemory<byte>> Attributes => _attributes;

    // A number is in a record or in the header.
    public static ulong NumberOr(ulong? record, ulong header)
    {
        Rule.Require(record is null || header == 0, Layer.Section, "the header has 0 where a record has the number");
        return record ?? header;
    }

    private static string PathOf(string text)
    {
        Rule.Require(!text.Contains('\0', StringComparison.Ordinal), Layer.Section, "no octet of a path is 0");
        return text;
    }

    // The length, which counts itself too, a space, the keyword, '=', the value and a line feed.
    private static (string Keyword, byte[] Value) Next(ref ReadOnlySpan<byte> contents)
    {
        const string Shape = "a record is its length, a space, the keyword, '=', the value and a line feed";
        int space = contents.IndexOf((byte)' ');
        Rule.Require(
            space is > 0 and < 10 && DigitsPattern().IsMatch(Encoding.Latin1.GetString(contents[..space])), Layer.Section, Shape);
        int length = int.Parse(Encoding.Latin1.GetString(contents[..space]), CultureInfo.InvariantCulture);
        Rule.Require(length > space + 1 && length <= contents.Length && contents[length - 1] == '\n', Layer.Section, Shape);
        ReadOnlySpan<byte> record = contents[(space + 1)..(length - 1)];
        int equals = record.IndexOf((byte)'=');
        Rule.Require(equals > 0, Layer.Section, Shape);
        contents = contents[length..];
        return (Encoding.Latin1.GetString(record[..equals]), record[(equals + 1)..].ToArray());
    }

    private static FileTime TimeOf(string text)
    {
        Match match = TimePattern().Match(text);
        Rule.Require(
            match.Success && long.TryParse(match.Groups[2].ValueSpan, CultureInfo.InvariantCulture, out _),
            Layer.Section,
            "a time is seconds, a point and nine digits");
        long seconds = long.Parse(match.Groups[2].ValueSpan, CultureInfo.InvariantCulture);
        int nanoseconds = int.Parse(match.Groups[3].ValueSpan, CultureInfo.InvariantCulture);
        if (match.Groups[1].Length == 0)
        {
            return new FileTime(seconds, nanoseconds);
        }

        Rule.Require(seconds > 0 || nanoseconds > 0, Layer.Section, "a time with '-' is before 1970");
        return nanoseconds == 0 ? new FileTime(-seconds, 0) : new FileTime(-seconds - 1, 1_000_000_000 - nanoseconds);
    }

    private static ulong Number(string text, ulong least, ulong most)
    {
        ulong number = 0;
        Rule.Require(
            DigitsPattern().IsMatch(text)
                && ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number)
                && number >= least
                && number <= most,
            Layer.Section,
            "size, uid and gid are numbers for which the header has no room");
        return number;
    }

    private void AddAttribute(string escaped, byte[] value)
    {
        Rule.Require(EscapedPattern().IsMatch(escaped), Layer.Section, "in the name of an attribute, % is %25 and = is %3D");
        string name = escaped.Replace("%3D", "=", StringComparison.Ordinal).Replace("%25", "%", StringComparison.Ordinal);
        Rule.Require(
            string.CompareOrdinal(_lastAttribute, name) < 0, Layer.Section, "attributes come by rising octets of their names");
        _lastAttribute = name;
        _attributes.Add(name, value);
    }

    [GeneratedRegex(@"\A[1-9][0-9]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex DigitsPattern();

    [GeneratedRegex(@"\A(-?)(0|[1-9][0-9]*)\.([0-9]{9})\z", RegexOptions.CultureInvariant)]
    private static partial Regex TimePattern();

    [GeneratedRegex(@"\A([^%\0]|%25|%3D)+\z", RegexOptions.CultureInvariant)]
    private static partial Regex EscapedPattern();
}
