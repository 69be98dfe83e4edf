using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>Reads and changes a <c>libxl_domain_config</c> in the JSON that libxl makes of it.</summary>
/// <remarks>Member names are those of <c>tools/libs/light/libxl_types.idl</c>. libxl leaves members out that have their
/// default: a disk without <c>readwrite</c> is read-only.</remarks>
public static class XlConfig
{
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>UTF-8 that throws an <see cref="ArgumentException"/> for what is none.</summary>
    internal static Encoding Utf8 { get; } = new UTF8Encoding(
        encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Gives a configuration another name, and another UUID where asked. All other bytes stay as they are.
    /// </summary>
    /// <param name="json">The configuration.</param>
    /// <param name="newName">The new <c>c_info.name</c>: not empty, without control characters.</param>
    /// <param name="newUuid">The new <c>c_info.uuid</c>; null leaves it.</param>
    /// <returns>The new configuration.</returns>
    /// <remarks>MAC addresses and disks stay too: a copy that runs beside its original needs others.</remarks>
    /// <exception cref="ArgumentException">The configuration is none, or the name cannot be one.</exception>
    public static string Rename(string json, string newName, Guid? newUuid = null)
    {
        _ = Describe(json);
        ArgumentException.ThrowIfNullOrEmpty(newName);
        if (newName.Any(char.IsControl))
        {
            throw new ArgumentException("A domain's name has no control characters.", nameof(newName));
        }

        byte[] bytes = Utf8.GetBytes(json);
        (Range name, Range? uuid) = Find(bytes);
        string quotedName = Quote(newName);
        string quotedUuid = Quote($"{newUuid:D}");
        (Range At, string Text)[] changes = (newUuid, uuid) switch
        {
            (null, _) => [(name, quotedName)],
            (_, null) => [(name, $"{quotedName}, \"uuid\": {quotedUuid}")],
            (_, { } at) when at.Start.Value < name.Start.Value => [(at, quotedUuid), (name, quotedName)],
            (_, { } at) => [(name, quotedName), (at, quotedUuid)],
        };

        var result = new StringBuilder();
        int done = 0;
        foreach ((Range at, string text) in changes)
        {
            result.Append(Utf8.GetString(bytes.AsSpan(done..at.Start.Value))).Append(text);
            done = at.End.Value;
        }

        return result.Append(Utf8.GetString(bytes.AsSpan(done))).ToString();
    }

    /// <summary>Says what a configuration is about.</summary>
    /// <param name="json">The configuration.</param>
    /// <returns>The domain's name, UUID, type and disks.</returns>
    /// <exception cref="ArgumentException">This is no JSON, names a member twice, or lacks what every configuration
    /// has; the message says which.</exception>
    public static XlConfigInfo Describe(string json)
    {
        ArgumentNullException.ThrowIfNull(json);
        try
        {
            using var document = JsonDocument.Parse(Utf8.GetBytes(json), Strict);
            return ConfigParser.Parse(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new ArgumentException($"The configuration is no JSON: {e.Message}", nameof(json), e);
        }
        catch (FormatException e)
        {
            throw new ArgumentException(e.Message, nameof(json), e);
        }
    }

    /// <summary>Where the values of c_info.name and c_info.uuid stand, quotes included.</summary>
    private static (Range Name, Range? Uuid) Find(ReadOnlySpan<byte> json)
    {
        Range? name = null, uuid = null;
        var reader = new Utf8JsonReader(json);
        bool inside = false;
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName)
            {
                continue;
            }

            if (reader.CurrentDepth == 1)
            {
                inside = reader.ValueTextEquals("c_info"u8);
            }
            else if (inside && reader.CurrentDepth == 2)
            {
                bool isName = reader.ValueTextEquals("name"u8), isUuid = reader.ValueTextEquals("uuid"u8);
                _ = reader.Read();
                Range value = (int)reader.TokenStartIndex..(int)reader.BytesConsumed;
                (name, uuid) = (isName ? value : name, isUuid ? value : uuid);
            }
        }

        return (name!.Value, uuid);
    }

    // Quotes and backslashes are escaped; letters of any alphabet stay, as libxl writes them.
    private static string Quote(string text) =>
        $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";
}
