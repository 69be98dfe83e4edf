using System.Diagnostics.CodeAnalysis;

namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>A blob, or in a directory's image a layer (section 5.3).</summary>
/// <param name="Name">The name; of a layer, the id of the checkpoint that sealed it.</param>
/// <param name="Parts">The data, in the parts in which the image has it.</param>
public sealed record Blob(string Name, IReadOnlyList<ReadOnlyMemory<byte>> Parts)
{
    /// <summary>The data in one piece.</summary>
    public byte[] ToArray()
    {
        byte[] data = new byte[Parts.Sum(part => (long)part.Length)];
        int at = 0;
        foreach (ReadOnlyMemory<byte> part in Parts)
        {
            part.CopyTo(data.AsMemory(at));
            at += part.Length;
        }

        return data;
    }
}

// Puts the blobs of an image together from its BLOB records.
internal sealed class BlobCollector(ImageHeader header)
{
    private const string Section = "5.3";
    private const int NameAt = 16;
    private const int MostBlobs = 65536;

    private readonly List<Blob> _blobs = [];
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private List<ReadOnlyMemory<byte>>? _openParts;
    private string _openName = "";

    public ulong DataOctets { get; private set; }

    public void Add(byte[] payload)
    {
        Rule.Require(payload.Length >= NameAt, Section, "BLOB has its fixed fields");
        int nameLength = Octets.U16(payload, 0);
        int flags = Octets.U16(payload, 2);
        uint encoding = Octets.U32(payload, 4);
        uint dataLength = Octets.U32(payload, 8);
        uint part = Octets.U32(payload, 12);
        Rule.Require((flags & ~1) == 0, Section, "reserved BLOB flags are zero");
        Rule.Require(nameLength is >= 1 and <= 255, Section, "the name of a blob has 1 to 255 octets");
        Rule.Require(nameLength <= payload.Length - NameAt, Section, "BLOB has all of its name");
        string name = Octets.Name(payload.AsSpan(NameAt, nameLength));
        byte[] data = DataArea.Decode(header, encoding, payload.AsSpan(NameAt + nameLength), dataLength);

        BeginOrContinue(name, part);
        _openParts.Add(data);
        DataOctets += dataLength;
        if ((flags & 1) != 0)
        {
            _blobs.Add(new Blob(name, _openParts));
            _openParts = null;
        }
    }

    public IReadOnlyList<Blob> Finish()
    {
        Rule.Require(_openParts is null, Section, "the last record of a blob has the flag");
        return _blobs;
    }

    [MemberNotNull(nameof(_openParts))]
    private void BeginOrContinue(string name, uint part)
    {
        if (_openParts is null)
        {
            Rule.Require(part == 0, Section, "a blob begins with part 0");
            Rule.Require(_names.Add(name), Section, "the name of a blob comes once");
            Rule.Require(_names.Count <= MostBlobs, Section, "an image has at most 65536 blobs");
            Rule.Require(
                header.Content != ImageContent.Directory || IsLayerName(name),
                Section,
                "the name of a layer is a checkpoint id in lower-case hexadecimal with hyphens");
            _openParts = [];
            _openName = name;
            return;
        }

        Rule.Require(name == _openName, Section, "the records of a blob follow one another");
        Rule.Require(part == (uint)_openParts.Count, Section, "the parts of a blob are counted without gaps");
    }

    private static bool IsLayerName(string name) =>
        Octets.TryId(name, out Guid id) && id != Guid.Empty;
}
