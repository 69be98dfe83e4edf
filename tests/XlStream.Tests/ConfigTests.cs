using System.Text.Json.Nodes;

namespace XenTwoLevelCkpt.XlStream.Tests;

public class ConfigTests
{
    private static readonly Guid Old = Guid.Parse("0c8de1f2-6c3a-4f4e-9a35-5d2f1b7a9e01");
    private static readonly Guid New = Guid.Parse("99999999-aaaa-bbbb-cccc-dddddddddddd");

    [Fact]
    public void A_configuration_is_described()
    {
        XlConfigInfo info = XlConfig.Describe(Sample.Config("pvh"));
        Assert.Equal(("guest-1", Old, XlGuestType.Pvh), (info.Name, info.Uuid, info.Type));
        Assert.Equal(
            [
                new XlDisk("xvda", "/dev/mapper/g1", "phy", "raw", true, false, null, 0, null),
                new XlDisk("hdc", null, "qdisk", "empty", false, true, null, 0, null),
            ],
            info.Disks);
    }

    // libxl leaves out what has its default.
    [Fact]
    public void What_is_missing_has_its_default()
    {
        const string Json = """
            {"c_info":{"type":"hvm","name":"a"},"disks":[{"vdev":"sda","script":"block-drbd","backend_domid":7,
            "backend_domname":"storage"}]}
            """;
        XlConfigInfo info = XlConfig.Describe(Json);
        Assert.Null(info.Uuid);
        XlDisk disk = Assert.Single(info.Disks);
        Assert.Equal(
            new XlDisk("sda", null, "unknown", "unknown", false, false, "block-drbd", 7, "storage"), disk);
        Assert.Empty(XlConfig.Describe("""{"c_info":{"type":"pv","name":"a"}}""").Disks);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("""{"c_info":[]}""")]
    [InlineData("""{"c_info":{"type":"pv"}}""")]
    [InlineData("""{"c_info":{"name":"a"}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":null}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":5}}""")]
    [InlineData("""{"c_info":{"type":"invalid","name":"a"}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a","name":"b"}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"},"c_info":{}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"\ud800"}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a","uuid":"{0}"}}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"},"disks":[1]}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"},"disks":[{}]}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"},"disks":[{"vdev":"xvda","readwrite":1.5}]}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"},"disks":[{"vdev":"xvda","readwrite":"1"}]}""")]
    [InlineData("""{"c_info":{"type":"pv","name":"a"}} x""")]
    public void What_is_no_configuration_is_refused(string json)
    {
        Assert.Throws<ArgumentException>(nameof(json), () => XlConfig.Describe(json));
        Assert.Throws<ArgumentException>(nameof(json), () => XlConfig.Rename(json, "b"));
    }

    [Fact]
    public void Only_the_name_and_the_uuid_change()
    {
        string json = Sample.Config("pv");
        Assert.Equal(
            json.Replace("guest-1", "guest-2", StringComparison.Ordinal), XlConfig.Rename(json, "guest-2"));
        Assert.Equal(
            json.Replace("guest-1", "g", StringComparison.Ordinal).Replace($"{Old}", $"{New}", StringComparison.Ordinal),
            XlConfig.Rename(json, "g", New));
    }

    [Theory]
    [InlineData("""{"b_info":{"name":"x"},"c_info":{"uuid":"{0}","x":[{"name":"y"}],"type":"pv","name":"größe"}}""")]
    [InlineData("""{"c_info":{"name":"größe","sub":{"name":"z","uuid":5},"type":"pv"},"name":"x"}""")]
    [InlineData("""{"c_info":{"uuid":null,"n\u0061me":"gr\u00f6\u00dfe","type":"pv"},"vfbs":[{"name":"q"}]}""")]
    public void A_name_is_found_wherever_it_stands(string template)
    {
        string json = template.Replace("{0}", $"{Old}", StringComparison.Ordinal);
        Assert.Equal("größe", XlConfig.Describe(json).Name);
        const string Name = """a "b" \ <ö> +""";
        string renamed = XlConfig.Rename(json, Name, New);
        Assert.Equal((Name, New), (XlConfig.Describe(renamed).Name, XlConfig.Describe(renamed).Uuid));
        JsonObject before = (JsonObject)JsonNode.Parse(json)!, after = (JsonObject)JsonNode.Parse(renamed)!;
        before["c_info"]!["name"] = Name;
        before["c_info"]!["uuid"] = $"{New}";
        Assert.True(JsonNode.DeepEquals(before, after));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\nb")]
    [InlineData("a\0")]
    public void A_name_that_cannot_be_one_is_refused(string name) => Assert.Throws<ArgumentException>(
        "newName", () => XlConfig.Rename(Sample.Config("pv"), name));
}
