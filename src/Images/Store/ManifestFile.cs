using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
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

    internal const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";

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

        // The JSON reader looks at the text of those members only that somebody asks for.
        if (!Utf8.IsValid(bytes.Span))
        {
            throw new ImageCorruptException(file, 0, "the manifest is not UTF-8");
        }

        try
        {
            using var json = JsonDocument.Parse(bytes, new JsonDocumentOptions { AllowDuplicateProperties = false });
            return ManifestReader.Read(json.RootElement, file);
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
        if (manifest.Before is { } before)
        {
            json.WriteStartObject("before");
            json.WriteNumber("index", before.Index);
            json.WriteNumber("reached", before.Reached);
            json.WriteEndObject();
        }

        json.WriteString("captured", manifest.Closing.Captured.UtcDateTime.ToString(TimeFormat));
        json.WriteString("label", manifest.Closing.Label);
        json.WriteString("node", manifest.Node);
        json.WriteStartArray("domains");
        foreach (ManifestDomain domain in manifest.Entries)
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
                json.WriteString("digest", part.Digest);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (manifest.LeftOut.Count > 0)
        {
            WriteLeftOut(json, manifest.LeftOut);
        }

        json.WriteEndObject();
    }

    private static void WriteLeftOut(Utf8JsonWriter json, IReadOnlyList<LeftOutDomain> domains)
    {
        json.WriteStartArray("leftOut");
        foreach (LeftOutDomain domain in domains)
        {
            json.WriteStartObject();
            json.WriteString("uuid", domain.Uuid);
            json.WriteString("name", domain.Name);
            json.WriteString("reason", domain.Reason);
            json.WriteString("message", domain.Message);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>How a manifest calls a content.</summary>
    internal static string NameOf(ImageContent content) => content switch
    {
        ImageContent.Registers => "registers",
        ImageContent.Memory => "memory",
        ImageContent.BlockDevice => "block-device",
        ImageContent.Directory => "directory",
        _ => "channels",
    };
}
