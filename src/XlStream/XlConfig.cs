using System.Security.Cryptography;
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
    /// <remarks>MAC addresses and disks stay, too: a copy that runs beside its original needs others
    /// (<see cref="RenewMacs"/>).</remarks>
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

        return Change(bytes, changes);
    }

    /// <summary>Gives the network interfaces of a copy MAC addresses of their own: with those of the original, the two would take
    /// each other's frames. All other bytes stay as they are.</summary>
    /// <param name="json">The configuration.</param>
    /// <param name="uuid">The copy's UUID, which the addresses follow from: the same copy has the same ones.</param>
    /// <returns>The new configuration. Addresses are 00:16:3e, Xen's own prefix, and three octets of a hash.</returns>
    /// <exception cref="ArgumentException">The configuration is none.</exception>
    public static string RenewMacs(string json, Guid uuid)
    {
        _ = Describe(json);
        byte[] bytes = Utf8.GetBytes(json);
        Range[] macs = FindMacs(bytes);
        return Change(bytes, [.. macs.Select((at, i) => (at, Quote(MacOf(uuid, i))))]);
    }

    /// <summary>The devices of a configuration as text: two configurations with the same text have the same devices. What a
    /// toolstack changes of a domain that runs, such as its memory, is not in it.</summary>
    /// <param name="json">The configuration.</param>
    /// <exception cref="ArgumentException">The configuration is none.</exception>
    public static string DevicesOf(string json)
    {
        _ = Describe(json);
        using var document = JsonDocument.Parse(Utf8.GetBytes(json), Strict);
        return string.Join('\n', document.RootElement.EnumerateObject()
            .Where(m => m.Value.ValueKind == JsonValueKind.Array).Select(m => $"{m.Name} {m.Value.GetRawText()}"));
    }

    private static string MacOf(Guid uuid, int number)
    {
        byte[] hash = SHA256.HashData(Encoding.ASCII.GetBytes($"{uuid:D}/{number}"));
        return $"00:16:3e:{hash[0]:x2}:{hash[1]:x2}:{hash[2]:x2}";
    }

    private static string Change(byte[] bytes, (Range At, string Text)[] changes)
    {
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

    // Where the values of mac in the elements of nics stand, quotes included, in their order.
    private static Range[] FindMacs(ReadOnlySpan<byte> json)
    {
        var macs = new List<Range>();
        var reader = new Utf8JsonReader(json);
        bool inside = false;
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1)
            {
                inside = reader.ValueTextEquals("nics"u8);
            }
            else if (inside && reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 3
                && reader.ValueTextEquals("mac"u8) && reader.Read() && reader.TokenType == JsonTokenType.String)
            {
                macs.Add((int)reader.TokenStartIndex..(int)reader.BytesConsumed);
            }
        }

        return [.. macs];
    }

    // Quotes and backslashes are escaped; letters of any alphabet stay, as libxl writes them.
    private static string Quote(string text) =>
        $"\"{JsonEncodedText.Encode(text, JavaScriptEncoder.UnsafeRelaxedJsonEscaping)}\"";
}
