using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class ManifestTests
{
    private const string Domain = "00112233-4455-6677-8899-aabbccddeeff";

    private const string Memory =
        $$"""{"content":"memory","name":"","kind":"full","file":"{{Domain}}.inm","length":368,"digest":"{{Digest}}"}""";

    private const string Disk =
        $$"""
        {"content":"block-device","name":"xvda","kind":"increment","parent":"00000000-0000-0000-0000-000000000007",
        "file":"{{Domain}}.7.xvda.ind","length":9223372036854775807,"digest":"{{Digest}}"}
        """;

    private const string Digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    private const string Head =
        """
        {"format":"xtl-checkpoint","version":1,"id":"f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
        "epoch":18446744073709551615,"index":9007199254740993,"captured":"2026-03-04T05:06:07.000001Z","label":"d\u00e9mo",
        "node":"n1","more":{"x":[null,1.5]}
        """;

    private const string Whole =
        $$"""{{Head}},"domains":[{"uuid":"{{Domain}}","name":"","parts":[{{Memory}},{{Disk}}]}]""";

    private static byte[] Sealed(string text) => Sealed(Encoding.UTF8.GetBytes(text));

    private static byte[] Sealed(byte[] body) =>
        [.. body, .. Encoding.ASCII.GetBytes($",\"sha256\":\"{Convert.ToHexStringLower(SHA256.HashData(body))}\"}}\n")];

    private static void Refused(string rule, string text) => Refuse.That(rule, () => Manifest.Parse(Sealed(text)));

    private static void Refused(string rule, string old, string replacement)
    {
        Assert.Contains(old, Whole, StringComparison.Ordinal);
        Refused(rule, Whole.Replace(old, replacement, StringComparison.Ordinal));
    }

    [Fact]
    public void A_whole_manifest()
    {
        Manifest manifest = Manifest.Parse(Sealed(Whole));
        Assert.Equal(new Guid("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"), manifest.Id);
        Assert.Equal(ulong.MaxValue, manifest.Epoch);
        Assert.Equal(9007199254740993u, manifest.Index);
        Assert.Equal(1772600767000001u, manifest.Captured);
        Assert.Equal("d\u00E9mo", manifest.Label);
        Assert.Equal("n1", manifest.Node);
        ManifestDomain domain = Assert.Single(manifest.Domains);
        Assert.Equal(new Guid(Domain), domain.Uuid);
        Assert.Equal("", domain.Name);
        Assert.Equal(
            [
                new ManifestPart(ImageContent.Memory, "", ImageKind.Full, Guid.Empty, $"{Domain}.inm", 368, Digest),
                new ManifestPart(
                    ImageContent.BlockDevice,
                    "xvda",
                    ImageKind.Increment,
                    ImageBuilder.Id(7),
                    $"{Domain}.7.xvda.ind",
                    long.MaxValue,
                    Digest),
            ],
            domain.Parts);
    }

    [Fact]
    public void Every_changed_octet_and_every_other_end_is_rejected()
    {
        byte[] manifest = Sealed(Whole);
        for (int at = 0; at < manifest.Length; at++)
        {
            manifest[at] ^= 1;
            Refuse.That("are its SHA-256", () => Manifest.Parse(manifest));
            manifest[at] ^= 1;
            Assert.Throws<FormatViolationException>(() => Manifest.Parse(manifest.AsMemory(0, at)));
        }

        Refuse.That("are its SHA-256", () => Manifest.Parse((byte[])[.. manifest, (byte)'\n']));
        Refuse.That("are its SHA-256", () => Manifest.Parse(manifest.AsMemory(1)));
        Manifest.Parse(manifest);
    }

    [Fact]
    public void The_digest_is_in_lower_case()
    {
        byte[] manifest = Sealed(Whole);
        string digest = Encoding.ASCII.GetString(manifest.AsSpan()[^67..^3]);
        Assert.Equal(64, digest.Length);
        Encoding.ASCII.GetBytes(digest.ToUpperInvariant()).CopyTo(manifest, manifest.Length - 67);
        Refuse.That("are its SHA-256", () => Manifest.Parse(manifest));
    }

    [Fact]
    public void The_trailer_is_checked_before_the_text()
    {
        Refuse.That("are its SHA-256", () => Manifest.Parse(Encoding.UTF8.GetBytes(new string('x', 100))));
        Refuse.That("has its last 78 octets", () => Manifest.Parse(Sealed("")));
        Refuse.That("has its last 78 octets", () => Manifest.Parse(ReadOnlyMemory<byte>.Empty));
        Refused("JSON", "x");
        Refused("JSON", "{\"a\":{\"b\":1");
        Refused("JSON", "/* */" + Whole);
        Refuse.That("JSON", () => Manifest.Parse(Sealed([0xEF, 0xBB, 0xBF, .. Encoding.UTF8.GetBytes(Whole)])));
        Refuse.That("UTF-8", () => Manifest.Parse(Sealed([.. Encoding.UTF8.GetBytes(Whole + ",\"x\":\""), 0xFF, (byte)'"'])));
    }

    [Fact]
    public void A_manifest_has_at_most_16_MiB()
    {
        int spaces = (16 << 20) - Sealed(Whole).Length;
        Manifest.Parse(Sealed(Whole + new string(' ', spaces)));
        Refuse.That("16777216", () => Manifest.Parse(Sealed(Whole + new string(' ', spaces + 1))));
    }

    [Fact]
    public void No_member_comes_twice()
    {
        const string Rule = "no member comes twice";
        Refused(Rule, Whole + ",\"label\":\"\"");
        Refused(Rule, Whole + ",\"l\\u0061bel\":\"\"");
        Refused(Rule, Whole + $",\"sha256\":\"{Digest}\"");
        Refused(Rule, "\"x\":[null", "\"y\":1,\"y\":2,\"x\":[null");
        Refused(Rule, "\"length\":368", "\"length\":368,\"length\":368");
    }

    [Theory]
    [InlineData("\"xtl-checkpoint\"", "\"xtl\"", "the format is")]
    [InlineData("\"version\":1", "\"version\":2", "the version is 1")]
    [InlineData("\"version\":1", "\"version\":\"1\"", "version is of the kind Number")]
    [InlineData("\"version\":1,", "", "version is there")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000000", "id is not zero")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "f81d4fae7dec41d0a76500a0c91e6bf6", "with hyphens")]
    [InlineData("18446744073709551615,\"index\"", "18446744073709551616,\"index\"", "u64")]
    [InlineData("9007199254740993", "-1", "u64")]
    [InlineData("9007199254740993", "1.0", "u64")]
    [InlineData("9007199254740993", "1e3", "u64")]
    [InlineData("9007199254740993", "null", "kind Number")]
    [InlineData("07.000001Z", "07.00001Z", "six decimals")]
    [InlineData("07.000001Z", "07.000001", "six decimals")]
    [InlineData("07.000001Z", "07.000001+00:00", "six decimals")]
    [InlineData("2026-03-04T", "2026-02-30T", "six decimals")]
    [InlineData("2026-03-04T", "2026-03-04 ", "six decimals")]
    [InlineData("2026-03-04T", "1969-12-31T", "six decimals")]
    [InlineData("d\\u00e9mo", "d\\u0000", "control")]
    [InlineData("d\\u00e9mo", "\\ud800", "is text")]
    [InlineData("d\\u00e9mo", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\u00e9", "64 octets")]
    [InlineData("\"n1\"", "\"\"", "node is not empty")]
    [InlineData("\"content\":\"memory\"", "\"content\":\"Memory\"", "one of the five")]
    [InlineData("\"name\":\"\",\"kind\"", "\"name\":\"x\",\"kind\"", "name of a part")]
    [InlineData("\"xvda\"", "\"\"", "name of a part")]
    [InlineData("\"xvda\"", "\"xv.da\"", "name of a part")]
    [InlineData("\"xvda\"", "\"xvda\\n\"", "name of a part")]
    [InlineData("\"kind\":\"full\"", "\"kind\":\"whole\"", "full or increment")]
    [InlineData("\"kind\":\"full\"", "\"kind\":\"full\",\"parent\":null", "only an increment")]
    [InlineData("\"kind\":\"full\"", "\"kind\":\"increment\"", "parent is there")]
    [InlineData("-000000000007", "-000000000000", "another checkpoint")]
    [InlineData("\"content\":\"memory\",\"name\":\"\",\"kind\":\"full\"", "\"content\":\"channels\",\"name\":\"\",\"kind\":\"increment\",\"parent\":\"00000000-0000-0000-0000-000000000007\"", "increments")]
    [InlineData("\"length\":368", "\"length\":\"368\"", "kind Number")]
    [InlineData("b855\"},", "B855\"},", "64 lower-case")]
    [InlineData("b855\"},", "b85\"},", "64 lower-case")]
    [InlineData("\"length\":9223372036854775807", "\"length\":9223372036854775808", "2^63 - 1")]
    [InlineData("\"length\":368", "\"length\":-0", "u64")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6", "lower case")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "+81d4fae-7dec-41d0-a765-00a0c91e6bf6", "lower case")]
    [InlineData("\"uuid\":\"00112233-4455-6677-8899-aabbccddeeff\"", "\"uuid\":\"00000000-0000-0000-0000-000000000000\"", "is not zero")]
    [InlineData("\"name\":\"\",\"parts\"", "\"name\":\"a\\tb\",\"parts\"", "control")]
    [InlineData(".7.xvda.ind", ".inm", "made of its domain")]
    [InlineData(".7.xvda.ind", ".7.xvdb.ind", "made of its domain")]
    [InlineData(".7.xvda.ind", ".xvda.7.ind", "matches the pattern")]
    [InlineData("eeff.7.xvda.ind", "eefe.7.xvda.ind", "made of its domain")]
    [InlineData("eeff.inm", "eeff.reg", "made of its domain")]
    public void Members(string old, string replacement, string rule) => Refused(rule, old, replacement);

    [Theory]
    [InlineData("../x.inm")]
    [InlineData("00112233-4455-6677-8899-AABBCCDDEEFF.inm")]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff.inm\\n")]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff.ind")]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff.1234567890.inm")]
    [InlineData("x00112233-4455-6677-8899-aabbccddeeff.inm")]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff.a/b.ind")]
    [InlineData("00112233-4455-6677-8899-aabbccddeeff.inm.tmp")]
    [InlineData("manifest.json")]
    public void File_names(string name) =>
        Refused("name of an image matches", "00112233-4455-6677-8899-aabbccddeeff.inm", name);

    [Fact]
    public void Parts_and_domains_come_once()
    {
        Refused("at most once", Memory, Memory + "," + Memory.Replace(".inm", ".2.inm", StringComparison.Ordinal));
        Refused("at most once", Disk, Disk + "," + Disk.Replace("block-device", "directory", StringComparison.Ordinal)
            .Replace(".7.xvda", ".xvda", StringComparison.Ordinal));
        Refused("a domain comes once", "\"domains\":[", $$"""
            "domains":[{"uuid":"{{Domain}}","name":"","parts":[]},
            """);
        Refused("is an object", "\"parts\":[", "\"parts\":[1,");
        Refused("domains is there", Head);
    }

    [Fact]
    public void Names_have_up_to_255_octets()
    {
        Manifest.Parse(Sealed(Whole.Replace("\"n1\"", $"\"{new string('n', 255)}\"", StringComparison.Ordinal)));
        Refused("255 octets", "\"n1\"", $"\"{new string('n', 256)}\"");
        Refused("255 octets", "\"name\":\"\",\"parts\"", $"\"name\":\"{new string('\u00E4', 128)}\",\"parts\"");
    }

    [Fact]
    public void Objects_are_up_to_64_deep()
    {
        Manifest.Parse(Sealed(Whole + ",\"x\":" + new string('[', 63) + new string(']', 63)));
        Refused("JSON", Whole + ",\"x\":" + new string('[', 64) + new string(']', 64));
    }

    [Fact]
    public void A_later_version_is_told_from_damage()
    {
        static bool IsLater(string version) => Assert.Throws<FormatViolationException>(
            () => Manifest.Parse(Sealed(Whole.Replace("\"version\":1", version, StringComparison.Ordinal)))).IsLaterFormat;
        Assert.True(IsLater("\"version\":2"));
        Assert.False(IsLater("\"version\":1.0"));
    }
}
