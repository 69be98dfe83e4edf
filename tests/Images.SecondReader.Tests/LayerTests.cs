using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// The rules of section 5.6, one by one.
public sealed class LayerTests
{
    private const string Attribute = "SCHILY.xattr.";

    private static string Names(FileTree tree) => Names(tree.Root!);

    private static string Names(TreeFile file) => string.Join(
        ' ',
        file.Children.Select(child => child.Key + child.Value.Type switch
        {
            LayerEntryType.Directory => $"({Names(child.Value)})",
            LayerEntryType.File => $"={Encoding.Latin1.GetString(child.Value.Contents.Span)}",
            _ => "",
        }));

    private static FileTree Folded(params LayerBuilder[] layers)
    {
        FileTree tree = new();
        foreach (LayerBuilder layer in layers)
        {
            tree.Apply(layer.Read());
        }

        return tree;
    }

    private static Action<byte[]> At(int at, string text) => header => Encoding.Latin1.GetBytes(text).CopyTo(header, at);

    private static LayerBuilder Changed(Action<byte[]> change) =>
        LayerBuilder.Rooted().With(b => b.ChangeHeader = change).File("f", "x");

    private static LayerBuilder ChangedExtended(Action<byte[]> change) =>
        LayerBuilder.Rooted().With(b => b.ChangeExtended = change).File("f", "x");

    private static LayerBuilder WithRecords(params string[] records) =>
        LayerBuilder.Rooted().Raw('0', "f", [.. records.SelectMany(LayerBuilder.Record)]);

    [Fact]
    public void What_an_entry_says()
    {
        LayerEntry entry = LayerBuilder.Rooted()
            .With(b => b.ChangeHeader = header =>
            {
                At(108, "0000007")(header);
                At(136, "00000000011")(header);
            })
            .Entry(
                '0', "f", "abc", mtime: "9.000000001", mode: 0xFFF,
                more: ["gid=4294967295", $"{Attribute}user.a%3Db%25=\0\n", $"{Attribute}user.b="])
            .Read().Entries[1];
        Assert.Equal(("f", LayerEntryType.File, 0xFFF), (entry.Path, entry.Type, entry.Mode));
        Assert.Equal((7u, uint.MaxValue, new FileTime(9, 1)), (entry.Owner, entry.Group, entry.Modified));
        Assert.Equal("abc"u8.ToArray(), entry.Contents.ToArray());
        Assert.Equal(["user.a=b%", "user.b"], entry.Attributes.Keys);
        Assert.Equal([0, 10], entry.Attributes["user.a=b%"].ToArray());
    }

    [Theory]
    [InlineData('2', LayerEntryType.SymbolicLink)]
    [InlineData('3', LayerEntryType.Whiteout)]
    [InlineData('4', LayerEntryType.BlockDevice)]
    [InlineData('5', LayerEntryType.Directory)]
    [InlineData('6', LayerEntryType.Pipe)]
    public void Types(char type, LayerEntryType expected) =>
        Assert.Equal(expected, LayerBuilder.Rooted().Entry(type, "x", target: type == '2' ? "t" : null).Read().Entries[1].Type);

    [Fact]
    public void Sockets_and_devices()
    {
        Assert.Equal(LayerEntryType.Socket, LayerBuilder.Rooted().Entry('6', "s", more: "XTL.type=socket").Read().Entries[1].Type);
        LayerBuilder.Rooted().Entry('6', "s", more: "XTL.type=door").Refused("XTL.type is socket");
        LayerBuilder.Rooted().Entry('5', "s", more: "XTL.type=socket").Refused("a socket is an entry of type 6");
        LayerEntry device = LayerBuilder.Rooted().With(b => b.ChangeHeader = At(337, "0000010")).Entry('3', "d").Read().Entries[1];
        Assert.Equal((LayerEntryType.CharacterDevice, 0, 8), (device.Type, device.Major, device.Minor));
        LayerBuilder.Rooted().With(b => b.ChangeHeader = At(329, "0000010")).Entry('5', "d").Refused("only a device");
    }

    [Fact]
    public void Headers()
    {
        Changed(At(100, "0010000")).Refused("a mode has 12 bits");
        Changed(At(100, "000008")).Refused("octal digits");
        Changed(At(107, " ")).Refused("NUL is behind a number");
        Changed(At(156, "7")).Refused("type of an entry");
        Changed(At(157, "f")).Refused("no name of a link");
        Changed(At(257, "ustar  ")).Refused("the magic");
        Changed(At(265, "root")).Refused("names of owners");
        Changed(At(345, "p")).Refused("no prefix");
        Changed(At(511, "p")).Refused("no prefix");
        Changed(At(0, "g")).Refused("first 100 octets");
        Changed(At(1, "g")).Refused("first 100 octets");
        Changed(At(136, "00000000001")).Refused("seconds of the time");
        ChangedExtended(At(0, "PAX")).Refused("first 100 octets");
        ChangedExtended(At(100, "0000600")).Refused("mode 0644");
        ChangedExtended(At(108, "0000001")).Refused("mode 0644");
        ChangedExtended(At(156, "g")).Refused("every entry has an extended header");
        byte[] stream = LayerBuilder.Rooted().Build();
        stream[148]++;
        Refuse.That("checksum matches", () => Layer.Read(stream));
    }

    [Theory]
    [InlineData("1.000000000", 1, 0)]
    [InlineData("-1.000000000", -1, 0)]
    [InlineData("-0.500000000", -1, 500_000_000)]
    [InlineData("-1.750000000", -2, 250_000_000)]
    [InlineData("9000000000.999999999", 9_000_000_000, 999_999_999)]
    public void Times(string text, long seconds, int nanoseconds)
    {
        string header = Convert.ToString(Math.Clamp(seconds, 0, 8589934591), 8).PadLeft(11, '0');
        LayerBuilder layer = LayerBuilder.Rooted().With(b => b.ChangeHeader = At(136, header)).Entry('0', "f", mtime: text);
        Assert.Equal(new FileTime(seconds, nanoseconds), layer.Read().Entries[1].Modified);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("0.0")]
    [InlineData("00.000000000")]
    [InlineData("+0.000000000")]
    [InlineData("0.0000000000")]
    [InlineData("9223372036854775808.000000000")]
    public void Times_have_one_form(string text) => WithRecords("path=f", $"mtime={text}").Refused("seconds, a point");

    [Fact]
    public void Records()
    {
        const string Time = $"mtime={LayerBuilder.Epoch}";
        WithRecords("path=f", "mtime=-0.000000000").Refused("with '-' is before 1970");
        WithRecords(Time).Refused("has path");
        WithRecords("path=f").Refused("has mtime");
        WithRecords(Time, "path=f").Refused("order of the table");
        WithRecords("path=f", "path=f", Time).Refused("order of the table");
        WithRecords("path=f", Time, "comment=f").Refused("keywords of records");
        WithRecords("path=f", Time, "uid=2097151").Refused("no room");
        WithRecords("path=f", Time, "uid=02097152").Refused("no room");
        WithRecords("path=f", Time, "gid=4294967296").Refused("no room");
        WithRecords("path=f", Time, "size=8589934591").Refused("no room");
        WithRecords("path=f", Time, "size=8589934592").Refused("inside contents");
        WithRecords("path=f", Time, $"{Attribute}a%=").Refused("% is %25");
        WithRecords("path=f", Time, $"{Attribute}a%3d=").Refused("% is %25");
        WithRecords("path=f", Time, $"{Attribute}=").Refused("% is %25");
        WithRecords("path=f", Time, $"{Attribute}b=", $"{Attribute}a=").Refused("rising octets of their names");
        WithRecords("path=f", Time, $"{Attribute}a=", $"{Attribute}a=").Refused("rising octets of their names");
        WithRecords("path=f", Time, $"{Attribute}a%3D=", $"{Attribute}a-=").Refused("rising octets of their names");
        WithRecords("path=f\0", Time).Refused("no octet of a path is 0");
        LayerBuilder.Rooted().With(b => b.ChangeHeader = At(108, "0000001")).File("f", "", "uid=2097152").Refused("the header has 0");
        foreach (string wrong in new[] { "x path=f\n", "08 path=f\n", "11 path=f\n", "7 path=f\n", "9 path=fg", "7 path\n", "3 \n", "path" })
        {
            LayerBuilder.Rooted().Raw('0', "f", Encoding.Latin1.GetBytes(wrong)).Refused("a record is its length");
        }
    }

    [Fact]
    public void Links()
    {
        LayerBuilder.Rooted().File("a").Link("b", "a").Read();
        LayerBuilder.Rooted().File("b").Link("a", "b").Refused("names of a directory come");
        LayerBuilder.Rooted().Link("b", "a").Refused("regular file that came before");
        LayerBuilder.Rooted().Directory("a").Link("b", "a").Refused("regular file that came before");
        LayerBuilder.Rooted().File("a").Link("b", "a").Link("c", "b").Refused("regular file that came before");
        LayerBuilder.Rooted().File("a").Entry('1', "b", target: "a", mode: 1).Refused("mode, owners and time");
        LayerBuilder.Rooted().File("a").Entry('1', "b", target: "a", more: $"{Attribute}user.a=").Refused("no attributes");
        LayerBuilder.Rooted().File("a").Entry('1', "b").Refused("linkpath is in");
        LayerBuilder.Rooted().Entry('5', "b", target: "a").Refused("linkpath is in");
        LayerBuilder.Rooted().Entry('5', "b", "x").Refused("only a regular file has contents");
    }

    [Fact]
    public void Places()
    {
        new LayerBuilder().Refused("first entry is the root");
        new LayerBuilder().File(".").Refused("first entry is the root");
        new LayerBuilder().Directory("a").Refused("first entry is the root");
        foreach (string path in new[] { "", "/a", "a/", "a//b", ".", "..", "a/./b", "a/.." })
        {
            LayerBuilder.Rooted().Directory("a").Directory(path).Refused("no component of a path");
        }

        LayerBuilder.Rooted().File("a/b").Refused("directory of an entry comes before");
        LayerBuilder.Rooted().File("a").File("a/b").Refused("directory of an entry comes before");
        LayerBuilder.Rooted().Directory("a").File("a/x").File("a-b").Read();
        LayerBuilder.Rooted().Directory("a").File("a-b").File("a/x").Refused("names of a directory come");
        LayerBuilder.Rooted().File("b").File("a").Refused("names of a directory come");
        LayerBuilder.Rooted().File("a").File("a").Refused("names of a directory come");
        LayerBuilder.Rooted().File("\xff").File("z").Refused("names of a directory come");
    }

    [Fact]
    public void Ends()
    {
        byte[] stream = LayerBuilder.Rooted().Build();
        Refuse.That("nothing is behind", () => Layer.Read((byte[])[.. stream, .. new byte[512]]));
        Refuse.That("inside a block", () => Layer.Read(stream.AsMemory(0, stream.Length - 512)));
        stream[^1] = 1;
        Refuse.That("two blocks of zeros", () => Layer.Read(stream));
        byte[] padded = LayerBuilder.Rooted().File("f", "x").Build();
        padded[^1025] = 1;
        Refuse.That("padded with zeros", () => Layer.Read(padded));
    }

    [Fact]
    public void Attributes_of_overlayfs()
    {
        Assert.True(LayerBuilder.Rooted().Opaque("d").Read().Entries[1].IsOpaque);
        LayerBuilder.Rooted().File("f", "", $"{Attribute}trusted.overlay.opaque=y").Refused("of overlayfs's attributes");
        LayerBuilder.Rooted().Directory("d", $"{Attribute}trusted.overlay.opaque=x").Refused("of overlayfs's attributes");
        LayerBuilder.Rooted().Directory("d", $"{Attribute}trusted.overlay.origin=").Refused("of overlayfs's attributes");
        TreeFile file = Folded(LayerBuilder.Rooted().Directory(
            "d", $"{Attribute}trusted.overlay.opaque=y", $"{Attribute}trusted.overlay.overlay.opaque=y")).Root!.Children["d"];
        Assert.Equal(["trusted.overlay.opaque"], file.Attributes.Keys);
    }

    [Fact]
    public void A_layer_is_applied_to_what_is_below()
    {
        LayerBuilder Lower() => LayerBuilder.Rooted().Directory("d").Directory("d/e").File("d/e/f", "1").File("d/g", "2").File("h", "3");

        Assert.Equal("d(e(f=1) g=2) h=3", Names(Folded(Lower())));
        Assert.Equal("d(e(f=1) g=2) h=3", Names(Folded(Lower(), LayerBuilder.Rooted().Directory("d"))));
        Assert.Equal("d(e(f=1 i=) g=2) h=3", Names(Folded(Lower(), LayerBuilder.Rooted().Directory("d").Directory("d/e").File("d/e/i"))));
        Assert.Equal("d(e(f=1)) h=4", Names(Folded(Lower(), LayerBuilder.Rooted().Directory("d").Whiteout("d/g").File("h", "4"))));
        Assert.Equal("h=3", Names(Folded(Lower(), LayerBuilder.Rooted().Whiteout("d").Whiteout("nothing"))));
        Assert.Equal("d(g=5) h=3", Names(Folded(Lower(), LayerBuilder.Rooted().Opaque("d").File("d/g", "5"))));
        Assert.Equal("d=6 h()", Names(Folded(Lower(), LayerBuilder.Rooted().File("d", "6").Directory("h"))));
        Assert.Equal("d() h=3", Names(Folded(Lower(), LayerBuilder.Rooted().Whiteout("d"), LayerBuilder.Rooted().Directory("d"))));
    }

    [Fact]
    public void Other_names_are_those_of_their_own_layer()
    {
        FileTree tree = Folded(
            LayerBuilder.Rooted().File("a", "1").Link("b", "a").Link("c", "a"), LayerBuilder.Rooted().File("a", "2").Link("c", "a"));
        Assert.Equal("a=2 b=1 c=2", Names(tree));
        Assert.Same(tree.Root!.Children["a"], tree.Root.Children["c"]);
    }

    [Fact]
    public void A_directory_takes_the_attributes_of_the_newest_entry()
    {
        TreeFile root = Folded(LayerBuilder.Rooted($"{Attribute}user.a=1"), LayerBuilder.Rooted($"{Attribute}user.b=2")).Root!;
        Assert.Equal(["user.b"], root.Attributes.Keys);
    }
}
