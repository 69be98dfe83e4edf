namespace XenTwoLevelCkpt.Images.SecondReader;

internal enum RecordType
{
    Runs = 1,
    Blob = 2,
    Disk = 3,
    End = 65535,
}

// A record as section 5 frames it, with its checksums proved.
internal sealed class ImageRecord
{
    public const int HeaderSize = 16;

    private const string Section = "5";
    private const uint LongestPayload = 8 << 20;

    private ImageRecord(RecordType type, uint checksum, byte[] payload)
    {
        Type = type;
        Checksum = checksum;
        Payload = payload;
    }

    public RecordType Type { get; }

    public uint Checksum { get; }

    public byte[] Payload { get; }

    public bool IsKnown => Type is RecordType.Runs or RecordType.Blob or RecordType.Disk or RecordType.End;

    public static ImageRecord Read(OctetSource source)
    {
        byte[] header = source.Take(HeaderSize, "3", "the header of a record, or without END");
        Rule.Require(Crc32C.Of(header.AsSpan(0, 12)) == Octets.U32(header, 12), Section, "a record's header checksum matches");
        int flags = Octets.U16(header, 2);
        uint length = Octets.U32(header, 4);
        uint checksum = Octets.U32(header, 8);
        Rule.Require((flags & ~1) == 0, Section, "reserved record flags are zero");
        Rule.Require(length <= LongestPayload, Section, "a payload has at most 8 MiB");
        byte[] payload = source.Take((int)length, "3", "a record");
        uint computed = new Crc32C().Add(header.AsSpan(0, 8)).Add(payload).Value;
        Rule.Require(computed == checksum, Section, "a record's checksum matches");

        ImageRecord record = new((RecordType)Octets.U16(header, 0), checksum, payload);
        source.Frame(header, record.Type == RecordType.End ? payload : []);
        bool optional = (flags & 1) != 0;
        Rule.Require(!record.IsKnown || !optional, Section, "RUNS, BLOB, DISK and END are not optional");
        Rule.Knows(record.IsKnown || optional, Section, $"a record of the unknown type {(int)record.Type} is optional");
        return record;
    }
}

// The data area that RUNS and BLOB end with.
internal static class DataArea
{
    private const string Section = "5.1";
    private const ulong LongestData = 4 << 20;

    public static byte[] Decode(ImageHeader header, uint encoding, ReadOnlySpan<byte> area, ulong length)
    {
        Rule.Require(length <= LongestData, Section, "the data of a record has at most 4 MiB");
        switch (encoding)
        {
            case 0:
                Rule.Require((ulong)area.Length == length, Section, "raw data has the length that other fields say");
                return area.ToArray();
            case 1:
                Rule.Require(header.IsCompressed, Section, "LZ4 comes only in images with compression 1");
                Rule.Require(length > 0, Section, "data of no octets is raw");
                Rule.Require((ulong)area.Length < length, Section, "an LZ4 block is shorter than its data");
                byte[] data = new byte[length];
                Lz4Block.Decode(area, data);
                return data;
            default:
                throw new FormatViolationException(Section, $"the encoding {encoding} is not defined");
        }
    }
}
