using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>The disk that an image is of (section 5.4).</summary>
/// <param name="Name">The disk's name.</param>
/// <param name="Length">The octets of the block device; 0 for a directory.</param>
public sealed partial record Disk(string Name, ulong Length)
{
    private const string Section = "5.4";
    private const int NameAt = 16;

    internal static bool IsName(string name) => NamePattern().IsMatch(name);

    internal static Disk Decode(ImageHeader header, byte[] payload)
    {
        Rule.Require(payload.Length >= NameAt, Section, "DISK has its fixed fields");
        ulong length = Octets.U64(payload, 0);
        int nameLength = Octets.U16(payload, 8);
        Rule.Require(length <= long.MaxValue, Section, "a block device has at most 2^63 - 1 octets");
        Rule.Require(Octets.AllZero(payload.AsSpan(10, 6)), Section, "the reserved octets of DISK are zero");
        Rule.Require(nameLength is >= 1 and <= 64, Section, "the name of a disk has 1 to 64 octets");
        Rule.Require(payload.Length == NameAt + nameLength, Section, "DISK ends with its name");
        Disk disk = new(Octets.Name(payload.AsSpan(NameAt)), length);
        Rule.Require(IsName(disk.Name), Section, "the name of a disk consists of A-Z a-z 0-9 _ -");
        if (header.Content == ImageContent.Directory)
        {
            Rule.Require(length == 0, Section, "the length of a directory is 0");
        }
        else
        {
            // The sum is below 2^64: the length is below 2^63.
            ulong blocks = (length + header.UnitSize - 1) / header.UnitSize;
            Rule.Require(blocks == header.UnitCount, Section, "the unit count is the length in blocks, rounded up");
        }

        return disk;
    }

    // The octets of the last block that lie behind the end of the device.
    internal void CheckTail(ImageHeader header, Run run)
    {
        int inside = (int)(Length % header.UnitSize);
        if (run.Class == RunClass.Data && inside != 0 && run.First + run.Count == header.UnitCount)
        {
            ReadOnlySpan<byte> last = run.Data.Span[^(int)header.UnitSize..];
            Rule.Require(Octets.AllZero(last[inside..]), Section, "the last block is zero behind the end of the device");
        }
    }

    [GeneratedRegex(@"\A[A-Za-z0-9_-]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex NamePattern();
}
