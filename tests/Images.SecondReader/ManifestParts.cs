using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A domain of a manifest (section 7).</summary>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">The domain's name, or the empty string.</param>
/// <param name="Parts">The parts of its state.</param>
public sealed record ManifestDomain(Guid Uuid, string Name, IReadOnlyList<ManifestPart> Parts)
{
    private const int LongestName = 255;

    internal static ManifestDomain From(JsonMembers members, Guid checkpoint)
    {
        Guid uuid = members.Id("uuid");
        Rule.Require(uuid != Guid.Empty, "7", "the UUID of a domain is not zero");
        return new ManifestDomain(
            uuid,
            members.NameOrEmpty("name", LongestName),
            [.. members.Objects("parts").Select(part => ManifestPart.From(part, uuid, checkpoint))]);
    }
}

/// <summary>A part of a domain's state: an image that a manifest names (section 7).</summary>
/// <param name="Content">What the image holds.</param>
/// <param name="Name">The disk's name; empty for contents without a disk.</param>
/// <param name="Kind">Whether the image stands alone.</param>
/// <param name="Parent">The id of the checkpoint that an increment builds upon; zero for a full image.</param>
/// <param name="File">The name of the file.</param>
/// <param name="Length">The octets of the file.</param>
/// <param name="Digest">The digest of the image, in lower-case hexadecimal digits.</param>
public sealed partial record ManifestPart(
    ImageContent Content, string Name, ImageKind Kind, Guid Parent, string File, ulong Length, string Digest)
{
    private const string Section = "7";

    internal static ManifestPart From(JsonMembers members, Guid domain, Guid checkpoint)
    {
        ImageContent content = ContentOf(members.Text("content"));
        string name = members.Text("name");
        Rule.Require(
            content is ImageContent.BlockDevice or ImageContent.Directory ? Disk.IsName(name) : name.Length == 0,
            Section,
            "the name of a part is that of a disk, 1 to 64 of A-Z a-z 0-9 _ -, and empty for other contents");
        ImageKind kind = KindOf(members.Text("kind"));
        Guid parent = ParentOf(members, content, kind, checkpoint);
        string file = members.Text("file");
        Rule.Require(FileName().IsMatch(file), "9", "the name of an image matches the pattern");
        Rule.Require(IsFileOf(file, domain, content, name), "9", "the name of an image is made of its domain, content and disk");
        string digest = members.Text("digest");
        Rule.Require(DigestText().IsMatch(digest), Section, "a digest has 64 lower-case hexadecimal digits");
        ulong length = members.Number("length");
        Rule.Require(length <= long.MaxValue, Section, "a file has at most 2^63 - 1 octets");
        return new ManifestPart(
            content, name, kind, parent, file, length, digest);
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

    // What is between the domain and the suffix is empty or the number of a folded image, which the pattern has proved.
    private static bool IsFileOf(string file, Guid domain, ImageContent content, string disk)
    {
        string suffix = content switch
        {
            ImageContent.Registers => "reg",
            ImageContent.Memory => "inm",
            ImageContent.Channels => "com",
            _ => $"{disk}.ind",
        };
        string[] fields = file.Split('.');
        int own = suffix.Split('.').Length + 1;
        return fields[0] == domain.ToString("D") && fields.Length - own is 0 or 1
            && string.Join('.', fields[^(own - 1)..]) == suffix;
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

    [GeneratedRegex(@"\A[0-9a-f]{64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex DigestText();

    [GeneratedRegex(
        @"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9]{1,9})?\.(reg|inm|com|[A-Za-z0-9_-]{1,64}\.ind)\z",
        RegexOptions.CultureInvariant)]
    private static partial Regex FileName();
}
