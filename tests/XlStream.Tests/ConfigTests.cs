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
    [InlineData("""{"max_memkb":2048,"target_memkb":1024,"shadow_memkb":16}""", 1040)]
    [InlineData("""{"max_memkb":2048}""", 2048)]
    [InlineData("""{"max_memkb":2048,"target_memkb":18446744073709551615,"shadow_memkb":18446744073709551615}""", 2048)]
    [InlineData("{}", 0)]
    public void Memory_is_what_libxl_asks_the_host_for(string build, long kib) =>
        Assert.Equal(kib, XlConfig.Describe($$"""{"c_info":{"type":"pvh","name":"a"},"b_info":{{build}}}""").MemoryKiB);

    [Fact]
    public void Memory_that_is_no_number_is_refused() => Assert.Contains(
        "target_memkb that is no amount of memory",
        Assert.Throws<ArgumentException>(() => XlConfig.Describe("""{"c_info":{"type":"pvh","name":"a"},"b_info":{"target_memkb":-1}}""")).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Network_interfaces_and_other_devices_are_described()
    {
        const string Json = """
            {"c_info":{"type":"pvh","name":"a"},"nics":[{"devid":1,"mac":"00:16:3e:01:02:03","bridge":"xenbr0"},
            {"backend_domid":3,"backend_domname":"router"}],"pcidevs":[{"dev":1}],"vtpms":[],"usbdevs":[{},{}]}
            """;
        XlConfigInfo info = XlConfig.Describe(Json);
        Assert.Equal(
            [new XlNic(1, "00:16:3e:01:02:03", "xenbr0", 0, null), new XlNic(0, null, null, 3, "router")], info.Nics);
        Assert.Equal([new XlDevice("pcidevs", 0), new XlDevice("usbdevs", 0), new XlDevice("usbdevs", 1)], info.Devices);
    }

    [Fact]
    public void A_copy_has_addresses_of_its_own_and_nothing_else_changes()
    {
        const string Json = """
            {"c_info":{"type":"pvh","name":"a"},"nics":[{"devid":0,"mac":"00:16:3e:01:02:03","x":{"mac":"k"}},{"mac":null},
            {"m\u0061c":"00:16:3e:01:02:04"}],"vfbs":[{"mac":"00:16:3e:01:02:05"}]}
            """;
        string renewed = XlConfig.RenewMacs(Json, New);
        IReadOnlyList<XlNic> nics = XlConfig.Describe(renewed).Nics;
        Assert.Matches("^00:16:3e(:[0-9a-f]{2}){3}$", nics[0].Mac);
        Assert.Matches("^00:16:3e(:[0-9a-f]{2}){3}$", nics[2].Mac);
        Assert.Equal(4, new HashSet<string?>([nics[0].Mac, nics[2].Mac, "00:16:3e:01:02:03", "00:16:3e:01:02:04"]).Count);
        Assert.Equal(
            Json, renewed.Replace(nics[0].Mac!, "00:16:3e:01:02:03", StringComparison.Ordinal)
                .Replace("\"mac\":\"" + nics[2].Mac, "\"mac\":\"00:16:3e:01:02:04", StringComparison.Ordinal)
                .Replace(nics[2].Mac!, "00:16:3e:01:02:04", StringComparison.Ordinal));
        Assert.Equal(renewed, XlConfig.RenewMacs(renewed, New));
        Assert.NotEqual(renewed, XlConfig.RenewMacs(Json, Old));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\nb")]
    [InlineData("a\0")]
    public void A_name_that_cannot_be_one_is_refused(string name) => Assert.Throws<ArgumentException>(
        "newName", () => XlConfig.Rename(Sample.Config("pv"), name));
}
