using System.Buffers;
using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Text;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>One name with its value. Names that end with <c>-bin</c> have octets, all others have text.</summary>
/// <param name="Name">Lower-case letters, digits, hyphens, underscores and full stops.</param>
/// <param name="Text">Printable ASCII; empty for octets.</param>
/// <param name="Binary">Octets; empty for text.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct MetadataEntry(string Name, string Text, ReadOnlyMemory<byte> Binary)
{
    internal const string BinarySuffix = "-bin";

    /// <summary>Whether the value is octets.</summary>
    public bool IsBinary => Name.EndsWith(BinarySuffix, StringComparison.Ordinal);

    /// <summary>The value as it is sent.</summary>
    internal string Encoded => IsBinary ? ToBase64(Binary.Span) : Text;

    /// <summary>Base64 without padding, as the protocol wants it sent.</summary>
    internal static string ToBase64(ReadOnlySpan<byte> octets) => Convert.ToBase64String(octets).TrimEnd('=');

    /// <summary>Reads base64 with or without padding.</summary>
    internal static bool TryFromBase64(ReadOnlySpan<char> text, out byte[] octets)
    {
        text = text.Trim(' ').TrimEnd('=');
        octets = [];
        if (text.Length % 4 == 1 || !Ascii.IsValid(text))
        {
            return false;
        }

        byte[] padded = new byte[(text.Length + 3) / 4 * 4];
        padded.AsSpan().Fill((byte)'=');
        _ = Encoding.ASCII.GetBytes(text, padded);
        byte[] decoded = new byte[Base64.GetMaxDecodedFromUtf8Length(padded.Length)];
        if (Base64.DecodeFromUtf8(padded, decoded, out _, out int written) != OperationStatus.Done)
        {
            return false;
        }

        octets = decoded.AsSpan(0, written).ToArray();
        return true;
    }
}

/// <summary>What a call carries beside its messages: HTTP/2 headers and trailers. A name may occur several times;
/// text of one name may arrive as one entry, with commas between the values.</summary>
public sealed class Metadata
{
    private static readonly SearchValues<char> NameCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-_.");

    private readonly List<MetadataEntry> _entries = [];

    /// <summary>Metadata without entries, which nobody may add to.</summary>
    public static Metadata Empty { get; } = new() { IsReadOnly = true };

    /// <summary>The entries, in the order in which they were added or came.</summary>
    public IReadOnlyList<MetadataEntry> Entries => _entries;

    private bool IsReadOnly { get; init; }

    /// <summary>Adds text.</summary>
    /// <param name="name">The name; not one of gRPC's or HTTP's own.</param>
    /// <param name="value">Printable ASCII without spaces at its ends.</param>
    /// <exception cref="ArgumentException">The name or the value cannot be sent.</exception>
    public void Add(string name, string value)
    {
        CheckName(name);
        if (name.EndsWith(MetadataEntry.BinarySuffix, StringComparison.Ordinal))
        {
            throw new ArgumentException($"'{name}' has octets, not text.", nameof(name));
        }

        if (value.AsSpan().ContainsAnyExceptInRange(' ', '~') || value.Trim(' ').Length != value.Length)
        {
            throw new ArgumentException($"The value of '{name}' is not printable ASCII.", nameof(value));
        }

        Append(new MetadataEntry(name, value, default));
    }

    /// <summary>Adds octets.</summary>
    /// <param name="name">The name; ends with <c>-bin</c>.</param>
    /// <param name="value">Any octets.</param>
    /// <exception cref="ArgumentException">The name cannot be sent.</exception>
    public void Add(string name, ReadOnlyMemory<byte> value)
    {
        CheckName(name);
        if (!name.EndsWith(MetadataEntry.BinarySuffix, StringComparison.Ordinal))
        {
            throw new ArgumentException($"'{name}' has text, not octets: its name would have to end with '-bin'.", nameof(name));
        }

        Append(new MetadataEntry(name, "", value));
    }

    /// <summary>The first text of a name, or null.</summary>
    /// <param name="name">The name.</param>
    public string? GetText(string name)
    {
        foreach (MetadataEntry entry in _entries)
        {
            if (entry.Name == name)
            {
                return entry.Text;
            }
        }

        return null;
    }

    /// <summary>The first octets of a name, or null.</summary>
    /// <param name="name">The name.</param>
    public ReadOnlyMemory<byte>? GetBinary(string name)
    {
        foreach (MetadataEntry entry in _entries)
        {
            if (entry.Name == name)
            {
                return entry.Binary;
            }
        }

        return null;
    }

    /// <summary>Takes over a header or trailer that a peer sent. Those that are not the application's are left out, and so
    /// is text that is not ASCII.</summary>
    /// <returns>False where octets are not base64.</returns>
    internal bool TryTake(string name, string value)
    {
        name = name.ToLowerInvariant();
        if (name != StatusWire.Details && IsReserved(name))
        {
            return true;
        }

        if (!name.EndsWith(MetadataEntry.BinarySuffix, StringComparison.Ordinal))
        {
            if (!value.AsSpan().ContainsAnyExceptInRange(' ', '~'))
            {
                _entries.Add(new MetadataEntry(name, value, default));
            }

            return true;
        }

        // Several values of one name may come as one, with commas between them.
        foreach (Range part in value.AsSpan().Split(','))
        {
            if (!MetadataEntry.TryFromBase64(value.AsSpan(part), out byte[] octets))
            {
                return false;
            }

            _entries.Add(new MetadataEntry(name, "", octets));
        }

        return true;
    }

    private static bool IsReserved(string name) =>
        name.StartsWith("grpc-", StringComparison.Ordinal)
        || name.StartsWith(':')
        || name is "content-type" or "content-length" or "te" or "host" or "user-agent" or "date" or "connection"
            or "transfer-encoding" or "trailer" or "keep-alive" or "upgrade" or "proxy-connection";

    private static void CheckName(string name)
    {
        if (name.Length == 0 || name.AsSpan().ContainsAnyExcept(NameCharacters) || IsReserved(name))
        {
            throw new ArgumentException($"'{name}' cannot be a name of metadata.", nameof(name));
        }
    }

    private void Append(MetadataEntry entry)
    {
        if (IsReadOnly)
        {
            throw new InvalidOperationException("This metadata is shared and stays empty.");
        }

        _entries.Add(entry);
    }
}
