using System.Globalization;
using System.Text;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// Writes streams of layers from the words of section 5.6. What is to be wrong in a test is changed before checksums are made.
internal sealed class LayerBuilder
{
    public const string Epoch = "0.000000000";

    private readonly List<byte> _octets = [];

    public Action<byte[]> ChangeHeader { get; set; } = _ => { };

    public Action<byte[]> ChangeExtended { get; set; } = _ => { };

    public static LayerBuilder Rooted(params string[] more) => new LayerBuilder().Directory(".", more);

    public static byte[] Record(string record)
    {
        byte[] rest = Encoding.Latin1.GetBytes($" {record}\n");
        int length = rest.Length + 1;
        while (length != rest.Length + length.ToString(CultureInfo.InvariantCulture).Length)
        {
            length++;
        }

        return [.. Encoding.Latin1.GetBytes(length.ToString(CultureInfo.InvariantCulture)), .. rest];
    }

    public LayerBuilder Directory(string path, params string[] more) => Entry('5', path, more: more);

    public LayerBuilder Opaque(string path) => Directory(path, "SCHILY.xattr.trusted.overlay.opaque=y");

    public LayerBuilder File(string path, string contents = "", params string[] more) => Entry('0', path, contents, more: more);

    public LayerBuilder Link(string path, string target) => Entry('1', path, target: target);

    public LayerBuilder Whiteout(string path) => Entry('3', path);

    // Records before and behind mtime are given apart from it.
    public LayerBuilder Entry(
        char type, string path, string contents = "", string? target = null, string mtime = Epoch, int mode = 0, params string[] more)
    {
        List<string> records = [$"path={path}", $"mtime={mtime}", .. more];
        if (target is not null)
        {
            records.Insert(1, $"linkpath={target}");
        }

        return Raw(type, path, [.. records.SelectMany(Record)], contents, mode);
    }

    public LayerBuilder Raw(char type, string name, byte[] records, string contents = "", int mode = 0)
    {
        _octets.AddRange(Header('x', "pax", 420, records.Length, ChangeExtended));
        Contents(records);
        _octets.AddRange(Header(type, name, mode, contents.Length, ChangeHeader));
        Contents(Encoding.Latin1.GetBytes(contents));
        return this;
    }

    public LayerBuilder With(Action<LayerBuilder> change)
    {
        change(this);
        return this;
    }

    public byte[] Build() => [.. _octets, .. new byte[1024]];

    public Layer Read() => Layer.Read(Build());

    public void Refused(string rule) => Refuse.That(rule, () => Read());

    private static byte[] Header(char type, string name, int mode, int size, Action<byte[]> change)
    {
        byte[] header = new byte[512];
        Put(header, 0, name.Length > 100 ? name[..100] : name);
        foreach ((int at, int digits, int value) in new[]
        {
            (100, 7, mode), (108, 7, 0), (116, 7, 0), (124, 11, size), (136, 11, 0), (329, 7, 0), (337, 7, 0),
        })
        {
            Put(header, at, Convert.ToString(value, 8).PadLeft(digits, '0'));
        }

        header[156] = (byte)type;
        Put(header, 257, "ustar\000");
        change(header);
        Put(header, 148, "        ");
        Put(header, 148, Convert.ToString(header.Sum(octet => octet), 8).PadLeft(6, '0') + "\0");
        return header;
    }

    private static void Put(byte[] header, int at, string text) => Encoding.Latin1.GetBytes(text).CopyTo(header, at);

    private void Contents(byte[] contents)
    {
        _octets.AddRange(contents);
        _octets.AddRange(new byte[(512 - (contents.Length % 512)) % 512]);
    }
}
