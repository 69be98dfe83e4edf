using System.Net;
using Grpc.Core;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>A node of a cluster takes part in recoveries: what it promises, and what it refuses before anything has changed. Its peer
/// is not there.</summary>
public class ClusterRecoveryTests
{
    private static readonly Guid Cluster = Guid.NewGuid();

    // Nobody else's, as one that was free a moment ago may be by now.
    private static readonly IPEndPoint Address =
        IPEndPoint.Parse($"127.{2 + ((Environment.ProcessId >> 8) % 250)}.{Environment.ProcessId & 255}.9:7400");

    [Fact]
    public async Task A_node_without_guests_has_its_channels_in_its_checkpoints_and_goes_back_to_them()
    {
        await using TestNode node = await StartAsync(guests: 0);
        Assert.Equal((1UL, 2UL), ((await node.CheckpointAsync()).Index, (await node.CheckpointAsync()).Index));
        await KillAsync(node);
        Assert.True((await node.Client.GetNodeAsync(new GetNodeRequest())).AwaitsRecovery);
        RecoverResponse done = await RecoverAsync(node, new RecoverRequest { Line = 2, Incarnation = 1 });
        Assert.Equal((RecoverAction.RollBack, 2UL), (done.Action, done.Index));
        Node now = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal((false, 2UL, 1UL, NodeState.Ready), (now.AwaitsRecovery, now.Sn, now.Incarnation, now.State));
        Assert.Equal(3UL, (await node.CheckpointAsync()).Index);
        await node.StopDaemonAsync();
        using DirectoryStore store = DirectoryStore.OpenReadOnly(node.Settings.Store);
        Assert.All(store.Checkpoints, m => Assert.False(new Restorer(store).ReadNodeState(m).IsEmpty));
        Assert.Empty(Verifier.VerifyStore(store));
    }

    [Fact(Timeout = 60_000)]
    public async Task A_node_without_guests_keeps_up_with_the_others_by_its_timer()
    {
        // Nobody sends it anything; a line that it has no checkpoint of is one that nobody can go back to.
        await using TestNode node = await StartAsync(guests: 0, s => s with { BasicInterval = TimeSpan.FromMilliseconds(50) });
        while ((await node.Client.GetNodeAsync(new GetNodeRequest())).DurableSn <= 2)
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task A_node_carries_out_what_it_has_promised_and_nothing_else()
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        var order = new RecoverRequest { Line = 2, Incarnation = 3 };
        await FailsAsync(node, "PROMISE", order, RecoverPhase.CarryOut);
        RecoverResponse promised = await AskAsync(node, order, RecoverPhase.Prepare);
        Assert.Equal((RecoverAction.RollBack, 2UL), (promised.Action, promised.Index));
        Assert.Equal(30, node.Steps()["a"]);
        Assert.Equal(4UL, (await node.CheckpointAsync()).Index);

        // Another leader is refused in the same incarnation, whatever is different; the promise outlives the daemon.
        await node.RestartAsync();
        Assert.Equal((2UL, 3UL), ((await DescribeAsync(node)).Promise.Line, (await DescribeAsync(node)).Promise.Incarnation));
        await FailsAsync(node, "PROMISE", new RecoverRequest { Line = 3, Incarnation = 3 }, RecoverPhase.Prepare);
        await FailsAsync(node, "PROMISE", new RecoverRequest { Line = 2, Incarnation = 2 }, RecoverPhase.Prepare);
        await FailsAsync(node, "PROMISE", new RecoverRequest(order) { DestroyNewer = true }, RecoverPhase.Prepare);
        await FailsAsync(
            node, "PROMISE", new RecoverRequest(order) { Moves = { new Move { Node = "beta", To = "gamma" } } }, RecoverPhase.CarryOut);

        // A higher one takes its place.
        _ = await AskAsync(node, new RecoverRequest { Line = 3, Incarnation = 4 }, RecoverPhase.Prepare);
        await FailsAsync(node, "PROMISE", order, RecoverPhase.CarryOut);
        RecoverResponse done = await AskAsync(node, new RecoverRequest { Line = 3, Incarnation = 4 }, RecoverPhase.CarryOut);
        Assert.Equal((RecoverAction.RollBack, 3UL), (done.Action, done.Index));
        Assert.Null((await DescribeAsync(node)).Promise);

        // A leader that planned before does not know of it.
        await FailsAsync(node, "PROMISE", new RecoverRequest { Line = 2, Incarnation = 5, After = 3 }, RecoverPhase.Prepare);
        _ = await AskAsync(node, new RecoverRequest { Line = 2, Incarnation = 5, After = 4 }, RecoverPhase.Prepare);
    }

    [Fact]
    public async Task Nothing_is_promised_that_cannot_be_done()
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        string image = Directory.GetFiles(node.Settings.Store, "*.inm", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ElementAt(2);
        byte[] octets = File.ReadAllBytes(image);
        octets[octets.Length / 2] ^= 1;
        File.WriteAllBytes(image, octets);
        StatusException e = await Assert.ThrowsAsync<StatusException>(
            () => AskAsync(node, new RecoverRequest { Line = 2, Incarnation = 1 }, RecoverPhase.Prepare));
        Assert.Equal((StatusCode.DataLoss, "IMAGE"), (e.Code, e.Reason));
        Assert.Null((await DescribeAsync(node)).Promise);
        Assert.Equal(30, node.Steps()["a"]);

        // Another line is possible.
        Assert.Equal(1UL, (await RecoverAsync(node, new RecoverRequest { Line = 1, Incarnation = 2 })).Index);
    }

    [Theory]
    [InlineData((int)RecoverStep.PendingWritten, false)]
    [InlineData((int)RecoverStep.RolledBack, true)]
    public async Task A_survivor_that_is_killed_in_the_middle_goes_back_with_another_recovery(int step, bool lostInIt)
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        var order = new RecoverRequest { Line = 7, Incarnation = 1 };
        _ = await AskAsync(node, order, RecoverPhase.Prepare);
        node.Node.Fault = at => _ = at == (RecoverStep)step ? throw new IOException("struck") : 0;
        _ = await Assert.ThrowsAsync<StatusException>(() => AskAsync(node, order, RecoverPhase.CarryOut));
        node.Node.Fault = null;
        await KillAsync(node);
        Node now = await DescribeAsync(node);
        Assert.Equal((true, false, lostInIt), (now.AwaitsRecovery, now.Recovery.Done, now.Recovery.LostInIt));

        // It has no checkpoint of that line, or has spoken in the incarnation: only a lower line in a new one is possible.
        await FailsAsync(node, lostInIt ? "PROMISE" : "LINE", order, RecoverPhase.CarryOut);
        RecoverResponse done = await RecoverAsync(node, new RecoverRequest { Line = 2, Incarnation = 2, After = 1 });
        Assert.Equal((RecoverAction.RollBack, 2UL), (done.Action, done.Index));
        Assert.Equal(new Dictionary<string, long> { ["a"] = 20, ["b"] = 20 }, node.Steps());
        Assert.Equal((false, 2UL), ((await DescribeAsync(node)).AwaitsRecovery, (await DescribeAsync(node)).Sn));
    }

    [Fact]
    public async Task A_guest_that_is_newer_than_the_line_is_named_and_goes_only_where_that_is_said()
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        node.AddGuest("newcomer");
        _ = await node.CheckpointAsync();
        var order = new RecoverRequest { Line = 2, Incarnation = 1 };
        StatusException e = await Assert.ThrowsAsync<StatusException>(() => AskAsync(node, order, RecoverPhase.Prepare));
        Assert.Equal("NEWER_DOMAIN", e.Reason);
        Assert.StartsWith("newcomer: not in the checkpoint of the line 2", e.Message, StringComparison.Ordinal);
        Assert.Contains("--destroy-newer", e.Message, StringComparison.Ordinal);
        Assert.Equal(3, node.Hypervisor.Guests.Count);
        _ = await RecoverAsync(node, new RecoverRequest(order) { DestroyNewer = true });
        Assert.Equal(["a", "b"], node.Hypervisor.Guests.Select(g => g.Name).Order());
    }

    [Fact]
    public async Task A_host_without_the_memory_refuses_before_a_guest_is_gone()
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        long pages = node.Hypervisor.ListDomains().Where(d => d.Id != 0).Sum(d => d.MemoryPages);
        node.Hypervisor.GuestPages = pages / 2;
        var order = new RecoverRequest { Line = 2, Incarnation = 1 };
        StatusException e = await Assert.ThrowsAsync<StatusException>(() => AskAsync(node, order, RecoverPhase.Prepare));
        Assert.Equal("HOST", e.Reason);
        Assert.Contains($"this host has {pages / 2} for them", e.Message, StringComparison.Ordinal);
        Assert.Equal(new Dictionary<string, long> { ["a"] = 30, ["b"] = 30 }, node.Steps());

        // What the guests have that go counts as free.
        node.Hypervisor.GuestPages = pages;
        _ = await RecoverAsync(node, order);
        Assert.Equal(new Dictionary<string, long> { ["a"] = 20, ["b"] = 20 }, node.Steps());
    }

    // Those of gamma came to another node after line 2, and are there for good; now beta is lost.
    [Theory]
    [InlineData("beta")]
    [InlineData("alpha")]
    public async Task A_line_that_is_older_than_the_arrival_of_a_lost_nodes_domains_is_refused(string host)
    {
        await using TestNode lost = await StartAsync(guests: 1, s => s with { Node = "beta" });
        await ThreeAsync(lost);
        await lost.StopDaemonAsync();

        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        await node.StopDaemonAsync();
        Directory.Move(lost.Settings.Store, Path.Combine(node.Settings.Shared!, "beta"));
        var file = NodeStateFile.Open(node.Settings.State);
        file.Write(file.State with { Parked = null, Departures = [new Departure("gamma", host, 0, Settled: true)] });
        foreach (string guest in new[] { "a", "b" })
        {
            node.Hypervisor.Guests.First(g => g.Name == guest).Destroy();
        }

        await node.RestartAsync();
        var order = new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "beta", To = "alpha" } } };
        StatusException e = await Assert.ThrowsAsync<StatusException>(() => AskAsync(node, order, RecoverPhase.Prepare));
        Assert.Equal("LINE", e.Reason);
        Assert.Equal($"The domains of gamma came to {host} after its checkpoint of the line 2, and would be lost: name a later line with --at.", e.Message);
    }

    [Fact]
    public async Task A_guest_of_a_cluster_does_not_go_back_alone()
    {
        await using TestNode node = await StartAsync();
        await ThreeAsync(node);
        node.Hypervisor.Guests.First(g => g.Name == "a").Destroy();
        StatusException e = await Assert.ThrowsAsync<StatusException>(
            () => node.RestoreAsync(new RestoreRequest { Checkpoint = "2", Domains = { "a" } }));
        Assert.Equal("CLUSTER", e.Reason);
        Assert.Contains("xtlctl cluster recover --at 2", e.Message, StringComparison.Ordinal);
        RestoreResult copy = await node.RestoreAsync(new RestoreRequest { Checkpoint = "2", Domains = { "a" }, NewName = "copy" });
        Assert.Equal(["copy"], copy.Domains.Select(d => d.Name));
    }

    private static async Task ThreeAsync(TestNode node)
    {
        for (int i = 0; i < 3; i++)
        {
            node.Hypervisor.Advance(10);
            _ = await node.CheckpointAsync();
        }
    }

    private static async Task<Node> DescribeAsync(TestNode node) => await node.Client.GetNodeAsync(new GetNodeRequest());

    private static async Task<RecoverResponse> AskAsync(TestNode node, RecoverRequest request, RecoverPhase phase) =>
        await node.Client.RecoverAsync(new RecoverRequest(request) { Phase = phase });

    private static async Task<RecoverResponse> RecoverAsync(TestNode node, RecoverRequest request)
    {
        _ = await AskAsync(node, request, RecoverPhase.Prepare);
        return await AskAsync(node, request, RecoverPhase.CarryOut);
    }

    private static async Task FailsAsync(TestNode node, string reason, RecoverRequest request, RecoverPhase phase) =>
        Assert.Equal(reason, (await Assert.ThrowsAsync<StatusException>(() => AskAsync(node, request, phase))).Reason);

    // What a kill leaves: nothing is parked, and the guests run on.
    private static async Task KillAsync(TestNode node)
    {
        string file = Path.Combine(node.Settings.State, "node.json");
        byte[]? before = File.Exists(file) ? File.ReadAllBytes(file) : null;
        await node.StopDaemonAsync();
        if (before is null)
        {
            File.Delete(file);
        }
        else
        {
            File.WriteAllBytes(file, before);
        }

        await node.RestartAsync();
    }

    private static Task<TestNode> StartAsync(int guests = 2, Func<NodeSettings, NodeSettings>? change = null) => TestNode.StartAsync(
        guests,
        s => (change?.Invoke(s) ?? s) with
        {
            Cluster = Cluster,
            Listen = Address,
            Nodes = [new ClusterNode("alpha", "127.0.0.1", 9), new ClusterNode("beta", "127.0.0.1", 9), new ClusterNode("gamma", "127.0.0.1", 9)],
        },
        node => node.Platform = n => new ModelPlatform(n.Hypervisor, "one"));
}
