using System.Net;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>A daemon in a cluster that is stopped and started again while its guests run on.</summary>
public class ParkingTests
{
    private static readonly Guid Cluster = Guid.NewGuid();

    // Nobody else's, as one that was free a moment ago may be by now.
    private static readonly IPEndPoint Address =
        IPEndPoint.Parse($"127.{2 + ((Environment.ProcessId >> 8) % 250)}.{Environment.ProcessId & 255}.8:7400");

    [Fact]
    public async Task A_stop_in_good_order_needs_no_recovery()
    {
        await using TestNode node = await StartAsync();
        for (int i = 1; i <= 3; i++)
        {
            Assert.Equal((ulong)i, (await node.CheckpointAsync()).Index);
            await node.RestartAsync();
            Node now = await node.Client.GetNodeAsync(new GetNodeRequest());
            Assert.Equal((false, (ulong)i, (ulong)i), (now.AwaitsRecovery, now.Sn, now.DurableSn));
        }

        node.AssertAllRun();
    }

    [Fact]
    public async Task What_is_parked_is_taken_up_once()
    {
        await using TestNode node = await StartAsync();
        _ = await node.CheckpointAsync();
        await node.StopDaemonAsync();
        Dictionary<string, byte[]> parked = Directory.GetFiles(node.Settings.State).ToDictionary(f => f, File.ReadAllBytes);
        await node.RestartAsync();
        Assert.False((await node.Client.GetNodeAsync(new GetNodeRequest())).AwaitsRecovery);
        Assert.False(File.Exists(Path.Combine(node.Settings.State, "channels.parked")));
        byte[] running = File.ReadAllBytes(Path.Combine(node.Settings.State, "node.json"));
        await node.StopDaemonAsync();

        // What a kill would leave.
        File.WriteAllBytes(Path.Combine(node.Settings.State, "node.json"), running);
        await node.RestartAsync();
        Assert.True((await node.Client.GetNodeAsync(new GetNodeRequest())).AwaitsRecovery);
        Assert.Contains(parked.Keys, path => path.EndsWith("channels.parked", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("life", "started anew")]
    [InlineData("damage", "damaged")]
    [InlineData("gone", "channels.parked")]
    [InlineData("domain", "a has been created anew")]
    [InlineData("checkpoint", "checkpoints have been taken")]
    [InlineData("nodes", "other nodes")]
    [InlineData("protocol", "of the protocol 'bcs'")]
    public async Task What_does_not_fit_any_more_is_not_taken_up(string change, string reason)
    {
        await using TestNode node = await StartAsync();
        _ = await node.CheckpointAsync();
        Guid uuid = node.Hypervisor.Guests[0].Uuid;
        await node.StopDaemonAsync();
        string file = Path.Combine(node.Settings.State, "channels.parked");
        switch (change)
        {
            case "life":
                node.Platform = n => new ModelPlatform(n.Hypervisor, "another");
                break;
            case "damage":
                byte[] octets = File.ReadAllBytes(file);
                octets[octets.Length / 2] ^= 1;
                File.WriteAllBytes(file, octets);
                break;
            case "gone":
                File.Delete(file);
                break;
            case "domain":
                node.Hypervisor.Guests[0].Destroy();
                _ = node.AddGuest("a", uuid);
                break;
            case "checkpoint":
                foreach (string manifest in Directory.GetFiles(node.Settings.Store, "*", SearchOption.AllDirectories))
                {
                    File.Delete(manifest);
                }

                break;
            case "nodes":
                node.Settings = node.Settings with { Nodes = [node.Settings.Nodes[0], new ClusterNode("gamma", "127.0.0.1", 9)] };
                break;
            default:
                node.Settings = node.Settings with { Protocol = "lazy-bcs" };
                break;
        }

        await node.RestartAsync();
        Assert.True((await node.Client.GetNodeAsync(new GetNodeRequest())).AwaitsRecovery);
        Assert.Contains(node.Log, line => line.Contains("not taken up", StringComparison.Ordinal)
            && line.Contains(reason, StringComparison.Ordinal));
        node.AssertAllRun();
    }

    [Fact]
    public async Task A_guest_that_is_new_is_no_reason()
    {
        await using TestNode node = await StartAsync();
        _ = await node.CheckpointAsync();
        await node.StopDaemonAsync();
        node.Hypervisor.Guests[0].Destroy();
        _ = node.AddGuest("new");
        await node.RestartAsync();
        Assert.False((await node.Client.GetNodeAsync(new GetNodeRequest())).AwaitsRecovery);
        Assert.Equal(2UL, (await node.CheckpointAsync()).Index);
    }

    // The other node never answers.
    private static Task<TestNode> StartAsync() => TestNode.StartAsync(
        adjust: s => s with
        {
            Cluster = Cluster,
            Nodes = [new ClusterNode("alpha", "127.0.0.1", 9), new ClusterNode("beta", "127.0.0.1", 9)],
            Listen = Address,
        },
        before: node => node.Platform = n => new ModelPlatform(n.Hypervisor, "one"));
}
