using System.Text;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

public class SettingsTests
{
    [Fact]
    public void What_is_set_is_read()
    {
        NodeSettings s = Parse("""
            {
              // Comments may be there.
              "node": "alpha", "clusterId": "0f3c1a52-7a0e-4a0b-9a57-51b6f6b1c001",
              "nodes": [{"name": "alpha", "address": "10.0.0.1:7400"}, {"name": "beta", "address": "[fd00::2]:7400"}],
              "shared": "/nfs/ckpt", "state": "/s", "controlSocket": "/run/c.sock", "socketGroup": "0", "listen": "10.0.0.1:7400",
              "pageListen": "127.0.0.1:7080",
              "basicInterval": "30s", "basicJitter": 0.5, "protocol": "lazy-bcs", "floodLimit": 70, "suspendTimeout": "1m",
              "allowedPause": "20ms", "cacheEntries": 0, "staging": "128M", "bandwidth": "10M", "backgroundShare": 0.4, "keep": 4, "keepFor": "24h",
              "maxIncrements": 2, "memoryOnly": true, "hypervisor": "model",
              "model": {"guests": 3, "workload": "bank", "memory": "32M", "stepsPerSecond": 5, "failSuspends": 0.1, "tap": true},
            }
            """);
        Assert.Equal(("alpha", "/nfs/ckpt/alpha", "/s", "/run/c.sock", "lazy-bcs"), (s.Node, s.Store, s.State, s.ControlSocket, s.Protocol));
        Assert.Equal([new ClusterNode("alpha", "10.0.0.1", 7400), new ClusterNode("beta", "fd00::2", 7400)], s.Nodes);
        Assert.Equal((TimeSpan.FromSeconds(30), 0.5, TimeSpan.FromMinutes(1)), (s.BasicInterval, s.BasicJitter, s.SuspendTimeout));
        Assert.Equal((0, 128L << 20, 10L << 20, true), (s.CacheEntries, s.Staging, s.Bandwidth, s.MemoryOnly));
        Assert.Equal((0.4, 0.4), (s.BackgroundShare, s.ForCheckpoints((_, _) => null, _ => false).BackgroundShare));
        Assert.Equal((4, TimeSpan.FromHours(24), 2), (s.Retention!.KeepCount, s.Retention.KeepFor, s.Retention.MaxIncrements));
        Assert.Equal(new ModelSettings { Guests = 3, Workload = ModelWorkload.Bank, MemoryPages = 8192, StepsPerSecond = 5, FailSuspends = 0.1, Tap = true }, s.Model);
        Assert.Equal(("0", 70), (s.SocketGroup, s.FloodLimit));
        Assert.Equal((7400, "127.0.0.1:7080"), (s.Listen!.Port, $"{s.PageListen}"));
    }

    [Fact]
    public void The_defaults_are_right()
    {
        NodeSettings s = Parse("{}");
        Assert.Null(s.BasicInterval);
        Assert.Null(s.PageListen);
        Assert.Equal("/run/xtlckpt/control.sock", s.ControlSocket);
        Assert.Equal(("bcs", 5000), (s.Protocol, s.FloodLimit));
        Assert.Equal("bcs-aftersend", Parse("""{"protocol": "bcs-aftersend"}""").Protocol);
        Assert.Null(Parse("""{"floodLimit": "off"}""").FloodLimit);
        Assert.Equal(0.25, s.BackgroundShare);
        Assert.Null(Parse("""{"basicInterval": "off", "keep": "all"}""").Retention);
        Assert.Null(Parse("""{"keep": "all", "maxIncrements": 2}""").Retention);
        Assert.Null(Parse("""{"basicInterval": null, "shared": null, "listen": null, "bandwidth": null, "cacheEntries": null, "keepFor": null}""").Shared);
    }

    [Theory]
    [InlineData("""{"node": "-a"}""", "'node' is \"-a\"; allowed is 1 to 63 of")]
    [InlineData("""{"node": 7}""", "'node' is 7; allowed is a string")]
    [InlineData("""{"clusterId": "x"}""", "'clusterId' is \"x\"; allowed is a UUID")]
    [InlineData("""{"nodes": [{"name": "a"}]}""", "'nodes[0]' is")]
    [InlineData("""{"nodes": [{"name": "a", "address": "h:0"}]}""", "'nodes[0].address' is \"h:0\"; allowed is")]
    [InlineData("""{"node": "b", "nodes": [{"name": "a", "address": "h:1"}]}""", "'nodes' does not have this node")]
    [InlineData("""{"store": "relative"}""", "'store' is \"relative\"; allowed is an absolute path")]
    [InlineData("""{"shared": "/s", "store": "/t"}""", "'store' is \"/t\"; with 'shared'")]
    [InlineData("""{"socketGroup": "no such group"}""", "'socketGroup' is \"no such group\", and there is no such group")]
    [InlineData("""{"backgroundShare": 0}""", "'backgroundShare' is 0; allowed is a number from 0.01 to 1")]
    [InlineData("""{"listen": "10.0.0.1"}""", "'listen' is \"10.0.0.1\"; allowed is")]
    [InlineData("""{"pageListen": 80}""", "'pageListen' is 80; allowed is an IP address")]
    [InlineData("""{"listen": "10.0.0.1:7400", "pageListen": "127.0.0.1:7400"}""", "'pageListen' is \"127.0.0.1:7400\"; allowed is another port")]
    [InlineData("""{"controlListen": "10.0.0.1:7401", "pageListen": "127.0.0.1:7401"}""", "'pageListen' is \"127.0.0.1:7401\"; allowed is another port")]
    [InlineData("""{"basicInterval": 5}""", "'basicInterval' is 5; allowed is a duration from 1s to 8760h")]
    [InlineData("""{"basicJitter": 2}""", "'basicJitter' is 2; allowed is a number from 0 to 1")]
    [InlineData("""{"protocol": "fdas"}""", "'protocol' is \"fdas\"; allowed is \"bcs\", \"manivannan-singhal\"")]
    [InlineData("""{"suspendTimeout": "2h"}""", "'suspendTimeout' is \"2h\"; allowed is a duration from 1ms to 1h")]
    [InlineData("""{"allowedPause": "x"}""", "'allowedPause' is \"x\"")]
    [InlineData("""{"cacheEntries": -1}""", "'cacheEntries' is -1; allowed is a whole number from 0")]
    [InlineData("""{"staging": "1K"}""", "'staging' is \"1K\"; allowed is a size from 1M")]
    [InlineData("""{"bandwidth": 1}""", "'bandwidth' is 1; allowed is a size")]
    [InlineData("""{"keep": 0}""", "'keep' is 0; allowed is a whole number from 1 to 1000000, or \"all\"")]
    [InlineData("""{"keepFor": ""}""", "'keepFor' is \"\"")]
    [InlineData("""{"maxIncrements": 1.5}""", "'maxIncrements' is 1.5")]
    [InlineData("""{"memoryOnly": "yes"}""", "'memoryOnly' is \"yes\"; allowed is true or false")]
    [InlineData("""{"hypervisor": "kvm"}""", "'hypervisor' is \"kvm\"; allowed is \"xen\", \"model\"")]
    [InlineData("""{"model": {"guests": 65}}""", "'model.guests' is 65; allowed is a whole number from 0 to 64")]
    [InlineData("""{"model": {"tap": 1}}""", "'model.tap' is 1; allowed is true or false")]
    [InlineData("""{"model": {"failSuspends": 2}}""", "'model.failSuspends' is 2; allowed is a number from 0 to 1")]
    [InlineData("""{"model": {"x": 65}}""", "'model.x' is no key")]
    [InlineData("""{"nodez": []}""", "'nodez' is no key of the configuration; is 'node' meant? docs/operations.md has the table")]
    [InlineData("""{"Keep": 5}""", "'Keep' is no key of the configuration; is 'keep' meant?")]
    [InlineData("""{"somethingElse": 5}""", "'somethingElse' is no key of the configuration; docs/operations.md")]
    [InlineData("""{"model": {"guest": 1}}""", "'model.guest' is no key of the configuration; is 'model.guests' meant?")]
    [InlineData("""{"model:guests": 1}""", "'model:guests' is no key")]
    [InlineData("""{"nodes": [{"name": "a", "address": "h:1", "port": 5}]}""", "'nodes[0].port' is no key")]
    [InlineData("""{"nodes": [{"name": "-", "address": "h:1"}]}""", "'nodes[0].name' is \"-\"; allowed is 1 to 63 of")]
    [InlineData("""{"nodes": [{"name": 7, "address": "h:1"}]}""", "'nodes[0].name' is 7; allowed is 1 to 63 of")]
    [InlineData("""{"nodes": [7]}""", "'nodes[0]' is 7; allowed is an object")]
    [InlineData("""{"nodes": {"name": "a", "address": "h:1"}}""", "'nodes' is {")]
    [InlineData("""{"keep": 1, "keep": 2}""", "The file says something twice: A duplicate key 'keep' was found.")]
    [InlineData("""{"keep": 1, "KEEP": 2}""", "The file says something twice: A duplicate key 'KEEP' was found.")]
    [InlineData("""{"keep": "5"}""", "'keep' is \"5\"; allowed is a whole number")]
    [InlineData("""{"basicJitter": "0.5"}""", "'basicJitter' is \"0.5\"; allowed is a number from 0 to 1")]
    [InlineData("""{"memoryOnly": "true"}""", "'memoryOnly' is \"true\"; allowed is true or false")]
    [InlineData("""{"node": null}""", "'node' is null; allowed is a string")]
    [InlineData("""{"node": ["a"]}""", "'node' is [\"a\"]; allowed is a string")]
    [InlineData("""{"staging": {"a": "64M"}}""", "'staging' is {\"a\": \"64M\"}; allowed is a size")]
    [InlineData("""{"model": "bank"}""", "'model' is \"bank\"; allowed is an object with 'guests'")]
    [InlineData("[]", "The file is no JSON object")]
    [InlineData("{", "The file is no JSON")]
    public void A_wrong_value_is_named_with_what_is_allowed(string json, string problem)
    {
        SettingsException e = Assert.Throws<SettingsException>(() => Parse(json));
        Assert.StartsWith(problem, Assert.Single(e.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void All_that_is_wrong_is_told_at_once()
    {
        SettingsException e = Assert.Throws<SettingsException>(() => Parse("""
            {"node": "a", "keep": 0, "staging": 3, "nodes": [{"name": "b", "address": "h:1"}, {"name": "b", "address": "h:1"}]}
            """));
        Assert.Equal(6, e.Problems.Count);
    }

    private static NodeSettings Parse(string json) => SettingsFile.Parse(Encoding.UTF8.GetBytes(json), s =>
        s with { Node = s.Node == Environment.MachineName ? "m" : s.Node });
}
