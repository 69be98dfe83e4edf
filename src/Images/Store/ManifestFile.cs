using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Images.Store;

/// <summary>Manifests as bytes: JSON whose last member is the SHA-256 of all bytes before it.</summary>
internal static class ManifestFile
{
    internal const string Name = "manifest.json";
    internal const string Format = "xtl-checkpoint";
    internal const int Version = 1;

    /// <summary>The longest manifest, in bytes: some ten thousand domains. Bounds what is read before it is checked.
    /// </summary>
    internal const int MaxLength = 16 << 20;

    /// <summary>Bytes of the last member and the closing brace.</summary>
    internal const int TailLength = 78;

    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";

    internal static byte[] Encode(CheckpointManifest manifest)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            Write(json, manifest);
        }

        // "\n}" ends the object; the hash becomes its last member instead.
        ReadOnlySpan<byte> body = buffer.WrittenSpan[..^2];
        return [.. body, .. Tail(body)];
    }

    /// <summary>Reads a manifest.</summary>
    /// <exception cref="ImageCorruptException">It is not what was written.</exception>
    /// <exception cref="ImageUnsupportedException">It is of a later version.</exception>
    internal static CheckpointManifest Decode(ReadOnlyMemory<byte> bytes, string file)
    {
        int body = bytes.Length - TailLength;
        if (body <= 0 || !bytes.Span[body..].SequenceEqual(Tail(bytes.Span[..body])))
        {
            throw new ImageCorruptException(file, Math.Max(body, 0), "the manifest does not match its checksum");
        }

        try
        {
            using var json = JsonDocument.Parse(bytes, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return Read(json.RootElement, file);
        }
        catch (Exception e) when (
            e is JsonException or KeyNotFoundException or FormatException or InvalidOperationException)
        {
            throw new ImageCorruptException(file, 0, $"the manifest is not one: {e.Message.TrimEnd('.')}", e);
        }
    }

    private static byte[] Tail(ReadOnlySpan<byte> body) =>
        Encoding.ASCII.GetBytes($",\"sha256\":\"{Convert.ToHexStringLower(SHA256.HashData(body))}\"}}\n");

    private static void Write(Utf8JsonWriter json, CheckpointManifest manifest)
    {
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", Version);
        json.WriteString("id", manifest.Id);
        json.WriteNumber("epoch", manifest.Epoch);
        json.WriteNumber("index", manifest.Closing.Index);
        json.WriteString("captured", manifest.Closing.Captured.UtcDateTime.ToString(TimeFormat));
        json.WriteString("label", manifest.Closing.Label);
        json.WriteString("node", manifest.Node);
        json.WriteStartArray("domains");
        foreach (ManifestDomain domain in manifest.Domains)
        {
            json.WriteStartObject();
            json.WriteString("uuid", domain.Uuid);
            json.WriteString("name", domain.Name);
            json.WriteStartArray("parts");
            foreach (ManifestPart part in domain.Parts)
            {
                json.WriteStartObject();
                json.WriteString("content", NameOf(part.Content));
                json.WriteString("name", part.Name);
                json.WriteString("kind", part.Kind == ImageKind.Full ? "full" : "increment");
                if (part.Kind == ImageKind.Increment)
                {
                    json.WriteString("parent", part.ParentId);
                }

                json.WriteString("file", part.File);
                json.WriteNumber("length", part.Length);
                json.WriteString("sha256", part.Sha256);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static CheckpointManifest Read(JsonElement root, string file)
    {
        if (Text(root, "format") != Format)
        {
            throw new FormatException("it has another format");
        }

        int version = root.GetProperty("version").GetInt32();
        if (version != Version)
        {
            throw new ImageUnsupportedException(
                file, 0, $"the manifest is of version {version}, this software reads {Version}");
        }

        var manifest = new CheckpointManifest
        {
            Id = root.GetProperty("id").GetGuid(),
            Epoch = root.GetProperty("epoch").GetUInt64(),
            Closing = new CheckpointClosing(
                root.GetProperty("index").GetUInt64(),
                DateTimeOffset.ParseExact(
                    Text(root, "captured"), TimeFormat, null,
                    DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal),
                Text(root, "label")),
            Node = Text(root, "node"),
            Domains = [.. root.GetProperty("domains").EnumerateArray().Select(ReadDomain)],
        };
        return Problem(manifest) is { } problem ? throw new FormatException(problem) : manifest;
    }

    private static ManifestDomain ReadDomain(JsonElement domain) => new(
        domain.GetProperty("uuid").GetGuid(),
        Text(domain, "name"),
        [.. domain.GetProperty("parts").EnumerateArray().Select(ReadPart)]);

    private static ManifestPart ReadPart(JsonElement part)
    {
        bool full = Text(part, "kind") switch
        {
            "full" => true,
            "increment" => false,
            string kind => throw new FormatException($"kind {kind} is not known"),
        };
        return new ManifestPart(
            Enum.GetValues<ImageContent>().FirstOrDefault(c => NameOf(c) == Text(part, "content")),
            Text(part, "name"),
            full ? Guid.Empty : part.GetProperty("parent").GetGuid(),
            Text(part, "file"),
            part.GetProperty("length").GetInt64(),
            Text(part, "sha256"));
    }

    /// <summary>What no manifest may say, or null.</summary>
    internal static string? Problem(CheckpointManifest manifest)
    {
        var files = new HashSet<string>(StringComparer.Ordinal);
        var parts = new HashSet<(Guid, ImageContent, string)>();
        if (manifest.Id == Guid.Empty)
        {
            return "the checkpoint id is zero";
        }

        foreach (ManifestDomain domain in manifest.Domains)
        {
            foreach (ManifestPart part in domain.Parts)
            {
                bool disk = part.Content is ImageContent.BlockDevice or ImageContent.Directory;
                if (!Enum.IsDefined(part.Content) || (disk ? !PartNames.IsDisk(part.Name) : part.Name.Length > 0))
                {
                    return $"the content or name of part {part.Name} is not possible";
                }

                // Names from a manifest become paths.
                if (!PartNames.IsImage(part.File) || !files.Add(part.File))
                {
                    return $"file name {part.File} is not possible, or given twice";
                }

                if (part.Length < 0 || part.Sha256.Length != 64 || part.ParentId == manifest.Id
                    || !parts.Add((domain.Uuid, part.Content, part.Name)))
                {
                    return $"the entry of file {part.File} is not possible";
                }
            }
        }

        return null;
    }

    private static string Text(JsonElement element, string property) =>
        element.GetProperty(property).GetString() ?? throw new FormatException($"{property} is null");

    private static string NameOf(ImageContent content) => content switch
    {
        ImageContent.Registers => "registers",
        ImageContent.Memory => "memory",
        ImageContent.BlockDevice => "block-device",
        ImageContent.Directory => "directory",
        _ => "channels",
    };
}
