using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A manifest (section 7).</summary>
/// <param name="Id">The checkpoint id.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="Index">The checkpoint's index.</param>
/// <param name="Captured">When the state was captured, in microseconds since 1970.</param>
/// <param name="Label">The label, or the empty string.</param>
/// <param name="Node">The node's name.</param>
/// <param name="Domains">The domains.</param>
public sealed record Manifest(
    Guid Id, ulong Epoch, ulong Index, ulong Captured, string Label, string Node, IReadOnlyList<ManifestDomain> Domains)
{
    private const string Section = "7";
    private const int LongestManifest = 16777216;
    private const int TrailerLength = 78;
    private const int LongestLabel = 64;
    private const int LongestName = 255;

    /// <summary>Reads and checks the manifest in the file <paramref name="path"/>.</summary>
    /// <exception cref="FormatViolationException">The manifest breaks a rule of the format.</exception>
    public static Manifest Read(string path)
    {
        Rule.Require(new FileInfo(path).Length <= LongestManifest, Section, "a manifest has at most 16777216 octets");
        return Parse(File.ReadAllBytes(path));
    }

    /// <summary>Reads and checks the manifest in <paramref name="octets"/>.</summary>
    /// <exception cref="FormatViolationException">The manifest breaks a rule of the format.</exception>
    public static Manifest Parse(ReadOnlyMemory<byte> octets)
    {
        Rule.Require(octets.Length <= LongestManifest, Section, "a manifest has at most 16777216 octets");
        CheckTrailer(octets.Span);
        Rule.Require(Utf8.IsValid(octets.Span), Section, "a manifest is UTF-8");
        using JsonDocument document = ParseJson(octets);
        return FromRoot(new JsonMembers(document.RootElement, "manifest"));
    }

    private static JsonDocument ParseJson(ReadOnlyMemory<byte> octets)
    {
        try
        {
            return JsonDocument.Parse(octets, new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException e)
        {
            throw new FormatViolationException(Section, "a manifest is JSON in which no member comes twice in an object", e);
        }
        catch (InvalidOperationException e)
        {
            // An escape for half of a surrogate pair: such names cannot be compared.
            throw new FormatViolationException(Section, "the name of a member is text", e);
        }
    }

    private static void CheckTrailer(ReadOnlySpan<byte> octets)
    {
        Rule.Require(octets.Length > TrailerLength, Section, "a manifest has its last 78 octets");
        ReadOnlySpan<byte> body = octets[..^TrailerLength];
        string digest = Convert.ToHexStringLower(SHA256.HashData(body));
        byte[] trailer = Encoding.ASCII.GetBytes($",\"sha256\":\"{digest}\"}}\n");
        Rule.Require(octets[body.Length..].SequenceEqual(trailer), Section, "the last 78 octets of a manifest are its SHA-256");
    }

    private static Manifest FromRoot(JsonMembers root)
    {
        Rule.Require(root.Text("format") == "xtl-checkpoint", Section, "the format is xtl-checkpoint");
        Rule.Knows(root.Number("version") == 1, Section, "the version is 1");
        Guid id = root.Id("id");
        Rule.Require(id != Guid.Empty, Section, "the checkpoint id is not zero");
        string label = root.NameOrEmpty("label", LongestLabel);
        string node = root.NameOrEmpty("node", LongestName);
        Rule.Require(node.Length > 0, "1", "the name of the node is not empty");
        if (root.Has("before"))
        {
            JsonMembers before = root.Object("before");
            (ulong index, ulong reached) = (before.Number("index"), before.Number("reached"));
            Rule.Require(index <= reached && reached < root.Number("index"), Section, "what came before has a lower index");
        }

        List<ManifestDomain> domains = [.. root.Objects("domains").Select(domain => ManifestDomain.From(domain, id))];
        Manifest manifest = new(
            id, root.Number("epoch"), root.Number("index"), root.Time("captured"), label, node, domains);
        manifest.CheckUnique();
        return manifest;
    }

    private void CheckUnique()
    {
        HashSet<Guid> domains = [];
        foreach (ManifestDomain domain in Domains)
        {
            Rule.Require(domains.Add(domain.Uuid), Section, "a domain comes once");
            HashSet<(ImageContent, string)> parts = [];
            foreach (ManifestPart part in domain.Parts)
            {
                // Block devices and directories share their names.
                ImageContent content = part.Content == ImageContent.Directory ? ImageContent.BlockDevice : part.Content;
                Rule.Require(parts.Add((content, part.Name)), Section, "a domain has a content, and a disk, at most once");
            }
        }
    }
}
