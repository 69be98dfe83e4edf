using Grpc.Core;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>The node's part of a recovery, also where it is interrupted.</summary>
public class RecoveryTests
{
    private static readonly string[] Both = ["a", "b"];

    public static TheoryData<int, bool> RollBackFaults
    {
        get
        {
            var data = new TheoryData<int, bool>();
            foreach (int step in Enumerable.Range((int)RecoverStep.Decided, (int)RecoverStep.Running))
            {
                data.Add(step, false);
                data.Add(step, true);
            }

            return data;
        }
    }

    [Fact]
    public async Task A_node_past_the_line_goes_back_to_its_member()
    {
        await using TestNode node = await TestNode.StartAsync();
        List<CheckpointReport> taken = await ThreeAsync(node);
        RecoverResponse dry = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1, Phase = RecoverPhase.DryRun });
        Assert.Equal((RecoverAction.RollBack, taken[1].Id, 2UL), (dry.Action, dry.CheckpointId, dry.Index));
        Assert.Equal(Both, dry.Domains.Select(d => d.Name).Order());
        Assert.Equal(30, node.Steps()["a"]);

        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 });
        Assert.Equal((RecoverAction.RollBack, taken[1].Id, 2UL, 0UL), (done.Action, done.CheckpointId, done.Index, done.ReplayedBatches));
        AssertAtTwo(node);
        Node now = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal((2UL, 2UL, 1UL, NodeState.Ready), (now.Sn, now.DurableSn, now.Incarnation, now.State));

        // The same call again does nothing.
        node.Hypervisor.Advance(3);
        Assert.Equal(done, await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 }).ResponseAsync);
        Assert.Equal(23, node.Steps()["a"]);
        await node.RestartAsync();
        Assert.Equal(done, await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 }).ResponseAsync);
        Assert.Equal(1UL, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation);

        // The history goes on from the line.
        Assert.Equal(3UL, (await node.CheckpointAsync()).Index);
        Assert.Equal([1UL, 2UL, 3UL], node.Stored().Select(m => m.Closing.Index));
        node.AssertWhole();
    }

    [Fact]
    public async Task A_node_below_the_line_takes_a_checkpoint_and_goes_on()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        RecoverResponse dry = await node.Client.RecoverAsync(new RecoverRequest { Line = 7, Incarnation = 2, Phase = RecoverPhase.DryRun });
        Assert.Equal((RecoverAction.Checkpoint, "", 7UL), (dry.Action, dry.CheckpointId, dry.Index));
        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 7, Incarnation = 2 });
        CheckpointManifest last = node.Stored()[^1];
        Assert.Equal((RecoverAction.Checkpoint, $"{last.Id}", 7UL), (done.Action, done.CheckpointId, done.Index));
        Assert.Equal(7UL, last.Closing.Index);
        Assert.Equal(30, node.Steps()["a"]);
        Node now = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal((7UL, 2UL), (now.Sn, now.Incarnation));
        Assert.Equal(done, await node.Client.RecoverAsync(new RecoverRequest { Line = 7, Incarnation = 2 }));
        Assert.Equal(8UL, (await node.CheckpointAsync()).Index);
    }

    [Fact]
    public async Task A_recovery_that_cannot_be_has_its_reason_and_changes_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        await Fails(StatusCode.InvalidArgument, "INCARNATION", new RecoverRequest { Line = 2, Incarnation = 0 });
        await Fails(StatusCode.InvalidArgument, "INCARNATION", new RecoverRequest { Line = 2, Incarnation = 1UL << 40 });
        await Fails(StatusCode.FailedPrecondition, "LINE", new RecoverRequest { Line = 0, Incarnation = 1 });
        await Fails(StatusCode.NotFound, "NODE", new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "beta", To = "alpha" } } });
        await Fails(StatusCode.NotFound, "NODE", new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "../alpha", To = "alpha" } } });
        await Fails(
            StatusCode.InvalidArgument, "NODE",
            new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "alpha", To = "beta" } } });
        await Fails(
            StatusCode.NotFound, "NODE", new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "beta" } } });
        await Fails(
            StatusCode.InvalidArgument, "NODE",
            new RecoverRequest { Line = 2, Incarnation = 1, Moves = { new Move { Node = "beta", To = "beta" } } });
        string image = Directory.GetFiles(node.Settings.Store, "*.reg", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ElementAt(2);
        byte[] whole = File.ReadAllBytes(image);
        File.WriteAllBytes(image, whole[..^7]);
        await Fails(StatusCode.DataLoss, "IMAGE", new RecoverRequest { Line = 2, Incarnation = 1 });
        File.WriteAllBytes(image, whole);
        Assert.Equal(30, node.Steps()["a"]);
        Assert.Equal(4UL, (await node.CheckpointAsync()).Index);
        _ = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 5 });
        await Fails(StatusCode.InvalidArgument, "INCARNATION", new RecoverRequest { Line = 1, Incarnation = 5 });
        await Fails(StatusCode.InvalidArgument, "INCARNATION", new RecoverRequest { Line = 2, Incarnation = 4 });

        Task Fails(StatusCode code, string reason, RecoverRequest request) =>
            TestNode.FailsAsync(code, reason, () => node.Client.RecoverAsync(request));
    }

    [Theory]
    [MemberData(nameof(RollBackFaults))]
    public async Task A_roll_back_that_is_interrupted_can_be_asked_for_again(int step, bool restart)
    {
        await using TestNode node = await TestNode.StartAsync();
        List<CheckpointReport> taken = await ThreeAsync(node);
        await InterruptedAsync(node, line: 2, step, restart);

        if (step is > (int)RecoverStep.Decided and < (int)RecoverStep.EndWritten)
        {
            Assert.Equal(NodeState.Recovering, (await node.Client.GetNodeAsync(new GetNodeRequest())).State);
            await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.CheckpointAsync());
            await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "1" }));
        }

        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 });
        Assert.Equal((RecoverAction.RollBack, taken[1].Id, 2UL), (done.Action, done.CheckpointId, done.Index));
        AssertAtTwo(node);
        Assert.Equal(1UL, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation);
        Assert.Equal(3UL, (await node.CheckpointAsync()).Index);
        Assert.Equal([1UL, 2UL, 3UL], node.Stored().Select(m => m.Closing.Index));
    }

    [Theory]
    [MemberData(nameof(RollBackFaults))]
    public async Task Another_recovery_takes_the_place_of_a_roll_back_that_was_interrupted(int step, bool restart)
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        await InterruptedAsync(node, line: 3, step, restart);

        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 2 });
        Assert.Equal((RecoverAction.RollBack, 2UL), (done.Action, done.Index));
        AssertAtTwo(node);
        Assert.Equal(2UL, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation);
        Assert.Equal(3UL, (await node.CheckpointAsync()).Index);
        Assert.Equal([1UL, 2UL, 3UL], node.Stored().Select(m => m.Closing.Index));
    }

    [Theory]
    [InlineData((int)RecoverStep.PendingWritten)]
    [InlineData((int)RecoverStep.Quiesced)]
    [InlineData((int)RecoverStep.RolledBack)]
    [InlineData((int)RecoverStep.Raised)]
    public async Task Another_recovery_takes_the_place_of_a_survival_that_was_interrupted(int step)
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        await InterruptedAsync(node, line: 7, step, restart: false);
        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 2 });
        Assert.Equal((RecoverAction.RollBack, 2UL), (done.Action, done.Index));
        AssertAtTwo(node);
        Assert.Equal(3UL, (await node.CheckpointAsync()).Index);
        Assert.Equal([1UL, 2UL, 3UL], node.Stored().Select(m => m.Closing.Index));
    }

    [Fact]
    public async Task Domains_that_a_killed_daemon_left_paused_are_restored_anew()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        Strike(node, RecoverStep.Restored);
        await Assert.ThrowsAsync<StatusException>(() => node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 }).ResponseAsync);
        await node.StopDaemonAsync();
        using (DirectoryStore store = DirectoryStore.OpenReadOnly(node.Settings.Store))
        {
            // What a kill would have left; they are of another checkpoint, to tell them apart.
            new Restorer(store).RestorePaused(node.Hypervisor, store.Checkpoints[0]).Keep();
        }

        await node.StartDaemonAsync();
        _ = await node.Client.RecoverAsync(new RecoverRequest { Line = 2, Incarnation = 1 });
        AssertAtTwo(node);
    }

    [Theory]
    [InlineData((int)RecoverStep.PendingWritten, false)]
    [InlineData((int)RecoverStep.PendingWritten, true)]
    [InlineData((int)RecoverStep.Quiesced, false)]
    [InlineData((int)RecoverStep.Quiesced, true)]
    [InlineData((int)RecoverStep.RolledBack, false)]
    [InlineData((int)RecoverStep.RolledBack, true)]
    [InlineData((int)RecoverStep.Raised, false)]
    [InlineData((int)RecoverStep.Raised, true)]
    [InlineData((int)RecoverStep.EndWritten, false)]
    [InlineData((int)RecoverStep.EndWritten, true)]
    public async Task A_survivor_that_is_interrupted_ends_the_same(int step, bool restart)
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await ThreeAsync(node);
        await InterruptedAsync(node, line: 7, step, restart);

        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 7, Incarnation = 1 });
        Assert.Equal((RecoverAction.Checkpoint, 7UL), (done.Action, done.Index));
        Assert.Equal([1UL, 2UL, 3UL, 7UL], node.Stored().Select(m => m.Closing.Index));
        Assert.Equal($"{node.Stored()[^1].Id}", done.CheckpointId);
        Assert.Equal(30, node.Steps()["a"]);
        Assert.Equal((7UL, 1UL), ((await node.Client.GetNodeAsync(new GetNodeRequest())).Sn, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation));
        Assert.Equal(8UL, (await node.CheckpointAsync()).Index);
    }

    [Fact]
    public async Task A_survivors_checkpoint_is_tried_until_it_succeeds()
    {
        await using TestNode node = await TestNode.StartAsync(adjust: s => s with
        {
            SuspendTimeout = TimeSpan.FromMilliseconds(50),
            WhenUnable = UnableRule.Fail,
        });
        _ = await ThreeAsync(node);
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
        RecoverResponse done = await node.Client.RecoverAsync(new RecoverRequest { Line = 7, Incarnation = 1 });
        Assert.Equal(7UL, done.Index);
        Assert.Contains(node.Log, l => l.Contains("3011", StringComparison.Ordinal));
        Assert.Equal(8UL, (await node.CheckpointAsync()).Index);
    }

    [Theory]
    [InlineData(2, RecoverAction.RollBack)]
    [InlineData(3, RecoverAction.Checkpoint)]
    public async Task A_lost_nodes_domains_come_up_here(int line, RecoverAction action)
    {
        await using TestNode lost = await TestNode.StartAsync(2);
        List<CheckpointReport> lostTaken = await ThreeAsync(lost);
        await lost.StopDaemonAsync();
        await using TestNode node = await TestNode.StartAsync(0);
        node.AddGuest("x");
        node.Hypervisor.Advance(10);
        _ = await node.CheckpointAsync();
        node.Hypervisor.Advance(10);
        _ = await node.CheckpointAsync();
        CopyFolder(lost.Settings.Store, Path.Combine(node.Settings.Shared!, "beta"));
        var request = new RecoverRequest { Line = (ulong)line, Incarnation = 1, Moves = { new Move { Node = "beta", To = "alpha" } } };
        RecoverResponse dry = await node.Client.RecoverAsync(new RecoverRequest(request) { Phase = RecoverPhase.DryRun });
        Assert.Equal(action, dry.Action);
        RecoverResponse done = await node.Client.RecoverAsync(request);
        Assert.Equal(action, done.Action);
        Assert.Equal(lostTaken[line - 1].Index, (ulong)line);
        Dictionary<string, long> steps = node.Steps();
        Assert.Equal((10L * line, 10L * line, 20L), (steps["a"], steps["b"], steps["x"]));
        Assert.Superset(new HashSet<string>(Both), done.Domains.Select(d => d.Name).ToHashSet());
        node.AssertWhole();
        node.AssertAllRun();
        Assert.Equal(3, (await node.CheckpointAsync()).Domains.Count);
    }

    [Theory]
    [InlineData(new ulong[] { 1, 2, 5 }, 3, 5)]
    [InlineData(new ulong[] { 1, 2, 5 }, 5, 5)]
    [InlineData(new ulong[] { 1, 2, 5 }, 6, null)]
    [InlineData(new ulong[] { 1, 2, 5 }, 0, null)]
    [InlineData(new ulong[] { 4 }, 3, 4)]
    [InlineData(new ulong[] { }, 1, null)]
    public void The_member_is_the_first_checkpoint_from_the_line_on(ulong[] indexes, long line, int? member)
    {
        List<CheckpointManifest> manifests = [.. indexes.Select((k, i) => Manifest((ulong)i + 1, k))];
        Assert.Equal((ulong?)member, IndexOf(manifests, line));

        // Where older ones were removed, only a checkpoint with the line's own index is surely the first.
        manifests = [.. indexes.Select((k, i) => Manifest((ulong)i + 7, k))];
        bool first = indexes.Length > 0 && (ulong)line <= indexes[0];
        Assert.Equal(first && (ulong)line != indexes[0] ? null : (ulong?)member, IndexOf(manifests, line));
    }

    private static ulong? IndexOf(List<CheckpointManifest> manifests, long line) =>
        RecoveryChoices.Member(StoreHistory.PointsOf(manifests), line) is { } at ? manifests[at].Closing.Index : null;

    private static CheckpointManifest Manifest(ulong epoch, ulong index) => new()
    {
        Id = Guid.NewGuid(),
        Epoch = epoch,
        Closing = new(index, DateTimeOffset.UnixEpoch, ""),
        Node = "alpha",
        Domains = [],
    };

    // Checkpoints 1, 2 and 3 at the steps 10, 20 and 30.
    private static async Task<List<CheckpointReport>> ThreeAsync(TestNode node)
    {
        var taken = new List<CheckpointReport>();
        for (int i = 0; i < 3; i++)
        {
            node.Hypervisor.Advance(10);
            taken.Add(await node.CheckpointAsync());
        }

        return taken;
    }

    private static void AssertAtTwo(TestNode node)
    {
        Assert.Equal(new Dictionary<string, long> { ["a"] = 20, ["b"] = 20 }, node.Steps());
        node.AssertWhole();
        node.AssertAllRun();
    }

    // A recovery of incarnation 1 that a fault ends, and maybe the daemon with it.
    private static async Task InterruptedAsync(TestNode node, ulong line, int step, bool restart)
    {
        Strike(node, (RecoverStep)step);
        StatusException e = await Assert.ThrowsAsync<StatusException>(
            () => node.Client.RecoverAsync(new RecoverRequest { Line = line, Incarnation = 1 }).ResponseAsync);
        Assert.Equal("STORE", e.Reason);
        node.Node.Fault = null;
        if (restart)
        {
            await node.RestartAsync();
        }
    }

    private static void Strike(TestNode node, RecoverStep step) => node.Node.Fault = at =>
    {
        if (at == step)
        {
            throw new IOException("struck");
        }
    };

    private static void CopyFolder(string from, string to)
    {
        foreach (string folder in Directory.GetDirectories(from))
        {
            _ = Directory.CreateDirectory(Path.Combine(to, Path.GetFileName(folder)));
            foreach (string file in Directory.GetFiles(folder))
            {
                File.Copy(file, Path.Combine(to, Path.GetFileName(folder), Path.GetFileName(file)));
            }
        }
    }
}
