using System.Globalization;
using System.Text.Json;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>The members of a manifest. What is wrong with one is a <see cref="FormatException"/>.</summary>
internal static class ManifestReader
{
    /// <summary>Reads the members of a manifest.</summary>
    /// <exception cref="FormatException">They are not those of one.</exception>
    /// <exception cref="ImageUnsupportedException">It is of a later version.</exception>
    internal static CheckpointManifest Read(JsonElement root, string file)
    {
        if (Text(root, "format") != ManifestFile.Format)
        {
            throw new FormatException("it has another format");
        }

        ulong version = Number(root, "version");
        if (version != ManifestFile.Version)
        {
            throw new ImageUnsupportedException(
                file, 0, $"the manifest is of version {version}, this software reads {ManifestFile.Version}");
        }

        ManifestDomain[] entries = [.. root.GetProperty("domains").EnumerateArray().Select(ReadDomain)];
        if (entries.Count(e => e.Uuid == CheckpointManifest.NodeId) > 1)
        {
            throw new FormatException("the node is there twice");
        }

        var manifest = new CheckpointManifest
        {
            Id = Id(root, "id"),
            Epoch = Number(root, "epoch"),
            Closing = new CheckpointClosing(
                Number(root, "index"),
                DateTimeOffset.ParseExact(
                    Text(root, "captured"), ManifestFile.TimeFormat, null,
                    DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal),
                Text(root, "label")),
            Before = ReadBefore(root),
            Node = Text(root, "node"),
            Domains = [.. entries.Where(e => e.Uuid != CheckpointManifest.NodeId)],
            NodeParts = entries.FirstOrDefault(e => e.Uuid == CheckpointManifest.NodeId)?.Parts ?? [],
            LeftOut = ReadLeftOut(root),
        };
        return Problem(manifest) is { } problem ? throw new FormatException(problem) : manifest;
    }

    /// <summary>What no manifest may say, or null.</summary>
    internal static string? Problem(CheckpointManifest manifest)
    {
        string label = manifest.Closing.Label;
        if (manifest.Id == Guid.Empty || manifest.Closing.Captured < DateTimeOffset.UnixEpoch)
        {
            return "the checkpoint id is zero, or the time before 1970";
        }

        if (manifest.Before is { } before && (before.Index > before.Reached || before.Reached >= manifest.Closing.Index))
        {
            return $"the index {manifest.Closing.Index} cannot follow {before.Index} that reached {before.Reached}";
        }

        if (!Names.IsName(manifest.Node) || (label.Length > 0 && !Names.IsName(label, ImageFormat.MaxLabelLength)))
        {
            return "the node's name or the label is not possible";
        }

        var domains = new HashSet<Guid>();
        foreach (ManifestDomain domain in manifest.Entries)
        {
            if (domain.Uuid == Guid.Empty || !domains.Add(domain.Uuid)
                || (domain.Name.Length > 0 && !Names.IsName(domain.Name)))
            {
                return $"domain {domain.Uuid} is there twice, or it or its name is not possible";
            }

            if (Problem(manifest.Id, domain) is { } problem)
            {
                return problem;
            }
        }

        return manifest.LeftOut.FirstOrDefault(d => !IsPossible(d)) is { } wrong
            ? $"the entry of domain {wrong.Uuid}, which was left out, is not possible"
            : null;
    }

    private static bool IsPossible(LeftOutDomain domain) =>
        domain.Reason.Length is > 0 and <= 32 && domain.Reason.All(c => char.IsAsciiLetterLower(c) || c == '-')
        && domain.Message.Length <= LeftOutDomain.MaxMessageLength && !domain.Message.Any(char.IsControl)
        && (domain.Name.Length == 0 || Names.IsName(domain.Name));

    private static string? Problem(Guid checkpoint, ManifestDomain domain)
    {
        var parts = new HashSet<(ImageContent, string)>();
        foreach (ManifestPart part in domain.Parts)
        {
            bool disk = part.Content is ImageContent.BlockDevice or ImageContent.Directory;
            if (!Enum.IsDefined(part.Content) || (disk ? !Names.IsDisk(part.Name) : part.Name.Length > 0))
            {
                return $"the content or name of part {part.Name} is not possible";
            }

            // A block device and a directory are not both called the same.
            if (!parts.Add((disk ? ImageContent.BlockDevice : part.Content, part.Name)))
            {
                return $"part {ManifestFile.NameOf(part.Content)} {part.Name} of domain {domain.Uuid} is there twice";
            }

            // Names from a manifest become paths. As they are made of what is unique, none comes twice.
            if (!PartNames.IsFor(part.File, domain.Uuid, part.Content, part.Name))
            {
                return $"file name {part.File} is not possible for its part";
            }

            if (part.Length < 0 || part.Digest.Length != 64 || !part.Digest.All(char.IsAsciiHexDigitLower)
                || part.ParentId == checkpoint
                || (part.Kind == ImageKind.Increment && part.Content is ImageContent.Registers or ImageContent.Channels))
            {
                return $"the entry of file {part.File} is not possible";
            }
        }

        return null;
    }

    private static ManifestDomain ReadDomain(JsonElement domain) => new(
        Id(domain, "uuid"),
        Text(domain, "name"),
        [.. domain.GetProperty("parts").EnumerateArray().Select(ReadPart)]);

    // It informs; no state depends on it. Where it makes no sense, the checkpoint is as good as without it.
    private static CheckpointPredecessor? ReadBefore(JsonElement root) => root.TryGetProperty("before", out JsonElement before)
        ? new CheckpointPredecessor(Number(before, "index"), Number(before, "reached"))
        : null;

    private static LeftOutDomain[] ReadLeftOut(JsonElement root)
    {
        if (!root.TryGetProperty("leftOut", out JsonElement list) || list.ValueKind != JsonValueKind.Array)
        {
            return [];
        }

        try
        {
            LeftOutDomain[] domains = [.. list.EnumerateArray().Select(d =>
                new LeftOutDomain(Id(d, "uuid"), Text(d, "name"), Text(d, "reason"), Text(d, "message")))];
            return Array.TrueForAll(domains, IsPossible) ? domains : [];
        }
        catch (Exception e) when (e is KeyNotFoundException or FormatException or InvalidOperationException)
        {
            return [];
        }
    }

    private static ManifestPart ReadPart(JsonElement part)
    {
        ulong length = Number(part, "length");
        return new ManifestPart(
            Enum.GetValues<ImageContent>().FirstOrDefault(c => ManifestFile.NameOf(c) == Text(part, "content")),
            Text(part, "name"),
            Parent(part),
            Text(part, "file"),
            length <= long.MaxValue ? (long)length : throw new FormatException("a file is too long"),
            Text(part, "digest"));
    }

    // Zero stands for a full image.
    private static Guid Parent(JsonElement part)
    {
        string kind = Text(part, "kind");
        if (kind == "full")
        {
            return part.TryGetProperty("parent", out _)
                ? throw new FormatException("a full image has a parent")
                : Guid.Empty;
        }

        Guid parent = kind == "increment" ? Id(part, "parent") : throw new FormatException($"kind {kind} is not known");
        return parent != Guid.Empty ? parent : throw new FormatException("an increment has the parent zero");
    }

    private static string Text(JsonElement element, string member) =>
        element.GetProperty(member).GetString() ?? throw new FormatException($"{member} is null");

    // By digits alone: no sign, point or exponent, which JSON would allow.
    private static ulong Number(JsonElement element, string member) =>
        ulong.TryParse(
            element.GetProperty(member).GetRawText(), NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            ? number
            : throw new FormatException($"{member} is no number of 64 bits");

    private static Guid Id(JsonElement element, string member) => Names.TryParseId(Text(element, member), out Guid id)
        ? id
        : throw new FormatException($"{member} is no UUID in lower case with hyphens");
}
