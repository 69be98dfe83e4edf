using System.Buffers.Binary;
using System.Text;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// Writes images from the words of docs/checkpoint-format.md. Totals and checksums are right by themselves; what is to
// be wrong in a test is changed before they are made.
internal sealed class ImageBuilder
{
    public static readonly Guid SomeDomain = new("00112233-4455-6677-8899-aabbccddeeff");

    private readonly List<byte[]> _records = [];
    private readonly ulong[] _units = new ulong[3];
    private ulong _blobOctets;

    public Guid Domain { get; set; } = SomeDomain;

    public Guid Checkpoint { get; set; } = Id(1);

    public Guid Parent { get; set; }

    public ulong Epoch { get; set; } = 1;

    public ulong UnitCount { get; set; }

    public uint UnitSize { get; set; }

    public ImageContent Content { get; set; }

    public ImageKind Kind { get; set; } = ImageKind.Full;

    public ushort Compression { get; set; }

    public ulong Index { get; set; }

    public ulong Captured { get; set; }

    public string Label { get; set; } = "";

    public Action<byte[]> ChangeHeader { get; set; } = _ => { };

    public Action<byte[]> ChangeEnd { get; set; } = _ => { };

    public Action<byte[]> ChangePayload { get; set; } = _ => { };

    public bool WithoutEnd { get; set; }

    public static Guid Id(byte last) => new([.. new byte[15], last], bigEndian: true);

    public static ImageBuilder Memory(ulong unitCount) =>
        new() { Content = ImageContent.Memory, UnitCount = unitCount, UnitSize = 4096 };

    public static ImageBuilder Device(ulong length, uint unitSize = 512, string name = "xvda") =>
        new ImageBuilder
        {
            Content = ImageContent.BlockDevice,
            UnitCount = (length + unitSize - 1) / unitSize,
            UnitSize = unitSize,
        }.Disk(length, name);

    public static ImageBuilder Layers(string name = "share") =>
        new ImageBuilder { Content = ImageContent.Directory }.Disk(0, name);

    public static ImageBuilder Registers() => new() { Content = ImageContent.Registers };

    public ImageBuilder At(byte checkpoint, ulong epoch, byte parent = 0)
    {
        Checkpoint = Id(checkpoint);
        Epoch = epoch;
        Parent = Id(parent);
        Kind = parent == 0 ? ImageKind.Full : ImageKind.Increment;
        return this;
    }

    public ImageBuilder With(Action<ImageBuilder> change)
    {
        change(this);
        return this;
    }

    public ImageBuilder Runs(params (ulong First, uint Count, uint Class)[] runs) => Runs([], runs);

    public ImageBuilder Runs(byte[] area, params (ulong First, uint Count, uint Class)[] runs) => Runs(0, area, runs);

    public ImageBuilder Runs(uint encoding, byte[] area, params (ulong First, uint Count, uint Class)[] runs)
    {
        byte[] payload = new byte[8 + (16 * runs.Length) + area.Length];
        Put32(payload, 0, (uint)runs.Length);
        Put32(payload, 4, encoding);
        for (int i = 0; i < runs.Length; i++)
        {
            Put64(payload, 8 + (16 * i), runs[i].First);
            Put32(payload, 16 + (16 * i), runs[i].Count);
            Put32(payload, 20 + (16 * i), runs[i].Class);
            _units[Math.Min(runs[i].Class, 2)] += runs[i].Count;
        }

        area.CopyTo(payload, 8 + (16 * runs.Length));
        return Record(1, payload);
    }

    public ImageBuilder Blob(
        string name, byte[] area, uint part = 0, bool last = true, uint encoding = 0, uint? length = null, ushort flags = 0)
    {
        byte[] octets = Encoding.UTF8.GetBytes(name);
        byte[] payload = [.. new byte[16], .. octets, .. area];
        Put16(payload, 0, (ushort)octets.Length);
        Put16(payload, 2, (ushort)(flags | (last ? 1 : 0)));
        Put32(payload, 4, encoding);
        Put32(payload, 8, length ?? (uint)area.Length);
        Put32(payload, 12, part);
        _blobOctets += length ?? (uint)area.Length;
        return Record(2, payload);
    }

    public ImageBuilder Disk(ulong length, string name)
    {
        byte[] octets = Encoding.UTF8.GetBytes(name);
        byte[] payload = [.. new byte[16], .. octets];
        Put64(payload, 0, length);
        Put16(payload, 8, (ushort)octets.Length);
        return Record(3, payload);
    }

    public ImageBuilder Record(ushort type, byte[] payload, ushort flags = 0)
    {
        ChangePayload(payload);
        _records.Add(Frame(type, flags, payload));
        return this;
    }

    public ImageBuilder WithoutRecords()
    {
        _records.Clear();
        return this;
    }

    public byte[] Build()
    {
        byte[] header = Header();
        List<byte> file = [.. header, .. _records.SelectMany(record => record)];
        if (!WithoutEnd)
        {
            file.AddRange(End(header, (ulong)file.Count + 152));
        }

        return [.. file];
    }

    private static byte[] Frame(ushort type, ushort flags, byte[] payload)
    {
        byte[] record = [.. new byte[16], .. payload];
        Put16(record, 0, type);
        Put16(record, 2, flags);
        Put32(record, 4, (uint)payload.Length);
        Put32(record, 8, Crc32C.Of([.. record[..8], .. payload]));
        Put32(record, 12, Crc32C.Of(record.AsSpan(0, 12)));
        return record;
    }

    private static void Put16(byte[] octets, int at, ushort value) =>
        BinaryPrimitives.WriteUInt16LittleEndian(octets.AsSpan(at), value);

    private static void Put32(byte[] octets, int at, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(octets.AsSpan(at), value);

    private static void Put64(byte[] octets, int at, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(octets.AsSpan(at), value);

    private byte[] Header()
    {
        byte[] header = new byte[160];
        "XTLIMG\r\n"u8.CopyTo(header);
        Put32(header, 8, 1);
        Put32(header, 12, 160);
        Domain.ToByteArray(bigEndian: true).CopyTo(header, 16);
        Checkpoint.ToByteArray(bigEndian: true).CopyTo(header, 32);
        Parent.ToByteArray(bigEndian: true).CopyTo(header, 48);
        Put64(header, 64, Epoch);
        Put64(header, 80, UnitCount);
        Put32(header, 88, UnitSize);
        Put16(header, 92, (ushort)Content);
        header[94] = (byte)Kind;
        Put16(header, 96, Compression);
        ChangeHeader(header);
        Put32(header, 156, Crc32C.Of(header.AsSpan(0, 156)));
        return header;
    }

    private byte[] End(byte[] header, ulong fileLength)
    {
        byte[] payload = new byte[136];
        Put64(payload, 0, (ulong)_records.Count);
        Put64(payload, 8, _units[0]);
        Put64(payload, 16, _units[1]);
        Put64(payload, 24, _units[2]);
        Put64(payload, 32, _blobOctets);
        Put64(payload, 40, fileLength);
        Put64(payload, 48, Index);
        Put64(payload, 56, Captured);
        Encoding.UTF8.GetBytes(Label).CopyTo(payload, 64);
        Put32(payload, 128, Crc32C.Of([.. header[156..], .. _records.SelectMany(record => record[8..12])]));
        ChangeEnd(payload);
        return Frame(65535, 0, payload);
    }
}
