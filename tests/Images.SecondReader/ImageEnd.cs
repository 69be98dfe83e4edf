namespace XenTwoLevelCkpt.Images.SecondReader;

/// <summary>The fields of END (section 5.5).</summary>
public sealed record ImageEnd
{
    private const string Section = "5.5";
    private const int Size = 136;

    private ImageEnd(ReadOnlySpan<byte> payload)
    {
        Records = Octets.U64(payload, 0);
        DataUnits = Octets.U64(payload, 8);
        ZeroUnits = Octets.U64(payload, 16);
        UnpopulatedUnits = Octets.U64(payload, 24);
        BlobOctets = Octets.U64(payload, 32);
        FileLength = Octets.U64(payload, 40);
        Index = Octets.U64(payload, 48);
        Captured = Octets.Time(payload, 56);
        Label = DecodeLabel(payload.Slice(64, 64));
        RollingChecksum = Octets.U32(payload, 128);
    }

    /// <summary>The records before END.</summary>
    public ulong Records { get; }

    /// <summary>The units of all data runs.</summary>
    public ulong DataUnits { get; }

    /// <summary>The units of all zero runs.</summary>
    public ulong ZeroUnits { get; }

    /// <summary>The units of all unpopulated runs.</summary>
    public ulong UnpopulatedUnits { get; }

    /// <summary>The octets of all blobs.</summary>
    public ulong BlobOctets { get; }

    /// <summary>The octets of the file.</summary>
    public ulong FileLength { get; }

    /// <summary>The checkpoint's index.</summary>
    public ulong Index { get; }

    /// <summary>When the state was captured, in microseconds since 1970.</summary>
    public ulong Captured { get; }

    /// <summary>The checkpoint's label, or the empty string.</summary>
    public string Label { get; }

    /// <summary>The CRC-32C of the checksums before END.</summary>
    public uint RollingChecksum { get; }

    internal static ImageEnd Decode(byte[] payload)
    {
        Rule.Require(payload.Length == Size, Section, "END has 136 octets");
        Rule.Require(Octets.AllZero(payload.AsSpan(132, 4)), Section, "the reserved octets of END are zero");
        return new ImageEnd(payload);
    }

    // A name has no zero octets: what is left without the zeros at the end is the label, or shows that it is none.
    private static string DecodeLabel(ReadOnlySpan<byte> field)
    {
        ReadOnlySpan<byte> label = field.TrimEnd((byte)0);
        return label.IsEmpty ? "" : Octets.Name(label);
    }
}

// What END is compared with.
internal sealed class Totals(ImageHeader header)
{
    private const string Section = "5.5";

    private readonly Crc32C _rolling = new Crc32C().Add(header.Checksum);
    private readonly ulong[] _units = new ulong[3];
    private ulong _records;

    public void AddRecord(ImageRecord record)
    {
        _records++;
        _rolling.Add(record.Checksum);
    }

    public void AddRun(Run run) => _units[(int)run.Class] += run.Count;

    public void Check(ImageEnd end, ulong blobOctets, ulong fileLength)
    {
        Rule.Require(end.Records == _records, Section, "END has the number of records");
        Rule.Require(end.DataUnits == _units[(int)RunClass.Data], Section, "END has the number of data units");
        Rule.Require(end.ZeroUnits == _units[(int)RunClass.Zero], Section, "END has the number of zero units");
        Rule.Require(
            end.UnpopulatedUnits == _units[(int)RunClass.Unpopulated], Section, "END has the number of unpopulated units");
        Rule.Require(end.BlobOctets == blobOctets, Section, "END has the octets of the blobs");
        Rule.Require(end.FileLength == fileLength, Section, "END has the length of the file");
        Rule.Require(end.RollingChecksum == _rolling.Value, Section, "the rolling checksum matches");
    }
}
