using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A domain of a manifest (section 7).</summary>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">The domain's name, or the empty string.</param>
/// <param name="Parts">The parts of its state.</param>
public sealed record ManifestDomain(Guid Uuid, string Name, IReadOnlyList<ManifestPart> Parts)
{
    internal static ManifestDomain From(JsonMembers members, Guid checkpoint) => new(
        members.Id("uuid"),
        members.NameOrEmpty("name"),
        [.. members.Objects("parts").Select(part => ManifestPart.From(part, checkpoint))]);
}

/// <summary>A part of a domain's state: an image that a manifest names (section 7).</summary>
/// <param name="Content">What the image holds.</param>
/// <param name="Name">The disk's name; empty for contents without a disk.</param>
/// <param name="Kind">Whether the image stands alone.</param>
/// <param name="Parent">The id of the checkpoint that an increment builds upon; zero for a full image.</param>
/// <param name="File">The name of the file.</param>
/// <param name="Length">The octets of the file.</param>
/// <param name="Sha256">The SHA-256 of the file, in lower-case hexadecimal digits.</param>
public sealed partial record ManifestPart(
    ImageContent Content, string Name, ImageKind Kind, Guid Parent, string File, ulong Length, string Sha256)
{
    private const string Section = "7";

    internal static ManifestPart From(JsonMembers members, Guid checkpoint)
    {
        ImageContent content = ContentOf(members.Text("content"));
        string name = members.Text("name");
        Rule.Require(
            content is ImageContent.BlockDevice or ImageContent.Directory ? DiskName().IsMatch(name) : name.Length == 0,
            Section,
            "the name of a part is that of a disk, 1 to 64 of A-Z a-z 0-9 _ -, and empty for other contents");
        ImageKind kind = KindOf(members.Text("kind"));
        string file = members.Text("file");
        Rule.Require(FileName().IsMatch(file), "9", "the name of an image matches the pattern");
        string sha256 = members.Text("sha256");
        Rule.Require(Digest().IsMatch(sha256), Section, "a SHA-256 has 64 lower-case hexadecimal digits");
        return new ManifestPart(
            content, name, kind, ParentOf(members, content, kind, checkpoint), file, members.Number("length"), sha256);
    }

    private static Guid ParentOf(JsonMembers members, ImageContent content, ImageKind kind, Guid checkpoint)
    {
        if (kind == ImageKind.Full)
        {
            Rule.Require(!members.Has("parent"), Section, "only an increment has a parent");
            return Guid.Empty;
        }

        Rule.Require(
            content is not (ImageContent.Registers or ImageContent.Channels), "2", "registers and channels have no increments");
        Guid parent = members.Id("parent");
        Rule.Require(parent != Guid.Empty && parent != checkpoint, "4", "a parent is another checkpoint, and not zero");
        return parent;
    }

    private static ImageContent ContentOf(string text) => text switch
    {
        "registers" => ImageContent.Registers,
        "memory" => ImageContent.Memory,
        "block-device" => ImageContent.BlockDevice,
        "directory" => ImageContent.Directory,
        "channels" => ImageContent.Channels,
        _ => throw new FormatViolationException(Section, "the content is one of the five"),
    };

    private static ImageKind KindOf(string text) => text switch
    {
        "full" => ImageKind.Full,
        "increment" => ImageKind.Increment,
        _ => throw new FormatViolationException(Section, "the kind is full or increment"),
    };

    [GeneratedRegex(@"\A[A-Za-z0-9_-]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex DiskName();

    [GeneratedRegex(@"\A[0-9a-f]{64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex Digest();

    [GeneratedRegex(
        @"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9]{1,9})?\.(reg|inm|com|[A-Za-z0-9_-]{1,64}\.ind)\z",
        RegexOptions.CultureInvariant)]
    private static partial Regex FileName();
}
