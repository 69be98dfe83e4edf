using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Manifests with right digests that are and are not manifests, for both readers.</summary>
public class ManifestCrossCheckTests
{
    private const string Domain = "00112233-4455-6677-8899-aabbccddeeff";
    private const string Digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    private const string Syntax = "\"\\,:{}[]u0-9aAfF. ";

    private const string Whole =
        $$"""
        {"format":"xtl-checkpoint","version":1,"id":"f81d4fae-7dec-41d0-a765-00a0c91e6bf6","epoch":5,"index":9,
        "captured":"2026-03-04T05:06:08.000000Z","label":"demo","node":"node1","x":{"y":[1.5]},"domains":[{"uuid":"{{Domain}}",
        "name":"guest","parts":[{"content":"memory","name":"","kind":"full","file":"{{Domain}}.inm","length":368,
        "digest":"{{Digest}}"},{"content":"block-device","name":"xvda","kind":"increment",
        "parent":"f81d4fae-7dec-41d0-a765-00a0c91e6bf7","file":"{{Domain}}.7.xvda.ind","length":1,"digest":"{{Digest}}"}]}]
        """;

    [Theory]
    [InlineData("\"epoch\":5", "\"epoch\":18446744073709551615")]
    [InlineData("\"length\":368", "\"length\":9223372036854775807")]
    [InlineData("\"label\":\"demo\"", "\"label\":\"\"")]
    [InlineData("\"guest\"", "\"\"")]
    [InlineData("\"name\":\"xvda\",\"kind\":\"increment\"", "\"kind\":\"increment\",\"name\":\"xvda\"")]
    [InlineData("\"x\":{\"y\":[1.5]}", "\"x\":\"\\ud800\"")]
    [InlineData("\"x\":{\"y\":[1.5]}", "\"x\":1e999999")]
    [InlineData(".7.xvda.ind", ".007.xvda.ind")]
    [InlineData("demo", "d\\u00e9mo")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":3,\"reached\":8}")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":0,\"reached\":0,\"more\":[]}")]
    public void Taken(string old, string replacement) => Assert.False(Judge.RejectsManifest(Changed(old, replacement)));

    [Theory]
    [InlineData("\"epoch\":5", "\"epoch\":18446744073709551616")]
    [InlineData("\"epoch\":5", "\"epoch\":5.0")]
    [InlineData("\"epoch\":5", "\"epoch\":5e0")]
    [InlineData("\"epoch\":5", "\"epoch\":-0")]
    [InlineData("\"epoch\":5", "\"epoch\":\"5\"")]
    [InlineData("\"length\":368", "\"length\":-0")]
    [InlineData("\"length\":368", "\"length\":9223372036854775808")]
    [InlineData("\"version\":1", "\"version\":1.0")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000000")]
    [InlineData("6bf7", "6bf6")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf7", "00000000-0000-0000-0000-000000000000")]
    [InlineData("f81d4fae-7dec-41d0-a765-00a0c91e6bf7", "F81d4fae-7dec-41d0-a765-00a0c91e6bf7")]
    [InlineData("\"kind\":\"full\"", "\"kind\":\"full\",\"parent\":null")]
    [InlineData("\"kind\":\"full\"", "\"kind\":\"increment\"")]
    [InlineData("\"uuid\":\"00112233-4455-6677-8899-aabbccddeeff\"", "\"uuid\":\"00112233-4455-6677-8899-AABBCCDDEEFF\"")]
    [InlineData("2026-03-04", "1969-12-31")]
    [InlineData("\"demo\"", "\"a\\u0000\"")]
    [InlineData("\"demo\"", "\"\\ud800\"")]
    [InlineData("\"demo\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"")]
    [InlineData("\"node1\"", "\"\"")]
    [InlineData("\"node1\"", "\"a\\tb\"")]
    [InlineData("\"guest\"", "\"a\\u0085b\"")]
    [InlineData("\"x\":{\"y\":[1.5]}", "\"x\":{\"y\":1,\"y\":2}")]
    [InlineData("\"x\":{\"y\":[1.5]}", "\"\\ud800\":1")]
    [InlineData("\"x\":{\"y\":[1.5]}", "\"x\":{\"\\udc00\":1,\"z\":[]}")]
    [InlineData("\"content\":\"memory\"", "\"content\":\"channels\"")]
    [InlineData("\"content\":\"memory\"", "\"content\":\"Memory\"")]
    [InlineData("eeff.inm", "eefe.inm")]
    [InlineData("eeff.inm", "eeff.reg")]
    [InlineData("eeff.inm", "eeff.1234567890.inm")]
    [InlineData(".7.xvda.ind", ".xvdb.ind")]
    [InlineData("\"xvda\"", "\"xv.da\"")]
    [InlineData("852b855\"}]", "852B855\"}]")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":3,\"reached\":9}")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":5,\"reached\":4}")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":5}")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":null")]
    [InlineData("\"index\":9", "\"index\":9,\"before\":{\"index\":\"5\",\"reached\":6}")]
    [InlineData("{\"format\"", "\uFEFF{\"format\"")]
    public void Rejected(string old, string replacement) =>
        Assert.True(Judge.RejectsManifest(Changed(old, replacement)));

    [Fact]
    public void Names_depth_and_text()
    {
        Assert.False(Judge.RejectsManifest(Changed("node1", new string('n', 255))));
        Assert.True(Judge.RejectsManifest(Changed("node1", new string('n', 256))));
        Assert.True(Judge.RejectsManifest(Changed("guest", new string('\u00E4', 128))));
        Assert.False(Judge.RejectsManifest(Changed("[1.5]", new string('[', 62) + new string(']', 62))));
        Assert.True(Judge.RejectsManifest(Changed("[1.5]", new string('[', 63) + new string(']', 63))));
        byte[] bytes = Encoding.UTF8.GetBytes(Whole.Replace("[1.5]", "\"?\"", StringComparison.Ordinal));
        bytes[bytes.AsSpan().IndexOf((byte)'?')] = 0xFF;
        Assert.True(Judge.RejectsManifest(Sealed(bytes)));
    }

    [Fact]
    public void Domains_and_disks_come_once()
    {
        Assert.False(Judge.RejectsManifest(Changed("\"domains\":[", "\"domains\":[{\"uuid\":\"10112233-4455-6677-8899-aabbccddeeff\",\"name\":\"\",\"parts\":[]},")));
        Assert.True(Judge.RejectsManifest(Changed("\"domains\":[", $"\"domains\":[{{\"uuid\":\"{Domain}\",\"name\":\"\",\"parts\":[]}},")));
        Assert.True(Judge.RejectsManifest(Changed("\"domains\":[", $"\"domains\":[{{\"uuid\":\"{Guid.Empty}\",\"name\":\"\",\"parts\":[]}},")));
        string shared = $$"""
            "parts":[{"content":"directory","name":"xvda","kind":"full","file":"{{Domain}}.xvda.ind","length":1,"digest":"{{Digest}}"},
            """;
        Assert.True(Judge.RejectsManifest(Changed("\"parts\":[", shared)));
        Assert.False(Judge.RejectsManifest(Changed("\"parts\":[", shared.Replace("xvda", "xvdb", StringComparison.Ordinal))));
    }

    [Fact]
    public void Whatever_is_changed_is_judged_alike()
    {
        var random = new Random(1);
        byte[] whole = Encoding.UTF8.GetBytes(Whole);
        int rejected = 0;
        for (int round = 0; round < 20_000; round++)
        {
            byte[] body = [.. whole];
            for (int i = random.Next(1, 3); i > 0; i--)
            {
                body[random.Next(body.Length)] = (byte)(random.Next(2) == 0
                    ? random.Next(256)
                    : Syntax[random.Next(Syntax.Length)]);
            }

            rejected += Judge.RejectsManifest(Sealed(body)) ? 1 : 0;
        }

        Assert.InRange(rejected, 10_000, 19_999);
    }

    private static byte[] Changed(string old, string replacement)
    {
        Assert.Contains(old, Whole, StringComparison.Ordinal);
        return Sealed(Encoding.UTF8.GetBytes(Whole.Replace(old, replacement, StringComparison.Ordinal)));
    }

    private static byte[] Sealed(byte[] body) =>
        [.. body, .. Encoding.ASCII.GetBytes($",\"sha256\":\"{Convert.ToHexStringLower(SHA256.HashData(body))}\"}}\n")];
}
