using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using Grpc.Health.V1;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;
using RestoreRequest = XenTwoLevelCkpt.Rpc.V1.RestoreRequest;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>Each method of NodeControl through the socket: what it does, and each status that its contract names.</summary>
public class ControlTests
{
    [Fact]
    public async Task The_node_tells_what_it_is()
    {
        await using TestNode node = await TestNode.StartAsync();
        Node fresh = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal(("alpha", "", NodeState.Ready, "0.1.0", "model", "bcs"),
            (fresh.Name, fresh.ClusterId, fresh.State, fresh.Version, fresh.Hypervisor, fresh.Protocol));
        Assert.Equal((0UL, 0UL, 0UL, 2u), (fresh.Sn, fresh.DurableSn, fresh.Incarnation, fresh.Domains));
        Assert.Empty(fresh.Peers);
        Assert.Matches(@"^(liblz4|K4os) 1\.", fresh.Compression);
        _ = await node.CheckpointAsync();
        Node later = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal((1UL, 1UL), (later.Sn, later.DurableSn));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(node.Settings.ControlSocket));

        // The store tells the index to the next daemon.
        await node.RestartAsync();
        later = await node.Client.GetNodeAsync(new GetNodeRequest());
        Assert.Equal((1UL, 1UL), (later.Sn, later.DurableSn));
    }

    [Fact]
    public async Task Domains_are_listed()
    {
        await using TestNode node = await TestNode.StartAsync();
        ListDomainsResponse listed = await node.Client.ListDomainsAsync(new ListDomainsRequest());
        Assert.Equal(["Domain-0", "a", "b"], listed.Domains.Select(d => d.Name));
        Assert.Equal(DomainKind.Control, listed.Domains[0].Kind);
        Assert.Equal(DomainKind.Pvh, listed.Domains[1].Kind);
        Assert.Equal("r-----", listed.Domains[1].State);
        Assert.False(listed.Domains[1].HasShutdownReason);
    }

    [Fact]
    public async Task Without_a_hypervisor_the_domains_are_unavailable()
    {
        using var broken = new BrokenPlatform();
        await using TestNode node = await TestNode.StartAsync(0, before: n => n.Platform = n => broken.Over(n.Hypervisor));
        broken.IsGone = true;
        await TestNode.FailsAsync(StatusCode.Unavailable, "NO_HYPERVISOR", () => node.Client.ListDomainsAsync(new ListDomainsRequest()));
        broken.IsGone = false;
    }

    [Fact]
    public async Task A_checkpoint_tells_its_progress_and_its_report()
    {
        await using TestNode node = await TestNode.StartAsync();
        using AsyncServerStreamingCall<CheckpointUpdate> call = node.Client.Checkpoint(new CheckpointRequest
        {
            Label = "größe",
            SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(20)),
        });
        List<CheckpointUpdate> updates = await TestNode.AllAsync(call);
        Assert.All(updates.SkipLast(1), u => Assert.Equal(CheckpointUpdate.UpdateOneofCase.Progress, u.UpdateCase));
        Assert.Equal(updates.SkipLast(1).Select(u => u.Progress.Stage).Order(), updates.SkipLast(1).Select(u => u.Progress.Stage));
        CheckpointReport report = updates[^1].Report;
        Assert.Equal((1UL, 1UL, "größe", CheckpointCause.Requested), (report.Epoch, report.Index, report.Label, report.Cause));
        Assert.Equal(["a", "b"], report.Domains.Select(d => d.Name).Order());
        Assert.All(report.Domains, d => Assert.True(d.HasFullBecause && d.Pages > 0));
        report = await node.CheckpointAsync();
        Assert.Equal(2UL, report.Index);
        Assert.All(report.Domains, d => Assert.False(d.HasFullBecause));
        node.AssertAllRun();
    }

    [Fact]
    public async Task A_checkpoint_may_be_of_some_domains()
    {
        await using TestNode node = await TestNode.StartAsync();
        CheckpointReport report = await node.CheckpointAsync(new CheckpointRequest { Domains = { "b" } });
        Assert.Equal(["b"], report.Domains.Select(d => d.Name));
        report = await node.CheckpointAsync();
        Assert.Equal(2, report.Domains.Count);
    }

    [Fact]
    public async Task Checkpoints_that_cannot_be_have_their_reasons()
    {
        await using TestNode node = await TestNode.StartAsync(adjust: s => s with { WhenUnable = UnableRule.Fail });
        await TestNode.FailsAsync(StatusCode.NotFound, "DOMAIN", () => node.CheckpointAsync(new CheckpointRequest { Domains = { "a", "none" } }));
        await TestNode.FailsAsync(StatusCode.NotFound, "DOMAIN", () => node.CheckpointAsync(new CheckpointRequest { Domains = { "Domain-0" } }));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "LABEL", () => node.CheckpointAsync(new CheckpointRequest { Label = new string('ö', 33) }));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "SUSPEND_TIMEOUT", () => node.CheckpointAsync(
            new CheckpointRequest { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromHours(2)) }));
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
        await TestNode.FailsAsync(StatusCode.Aborted, "SUSPEND_TIMEOUT", () => node.CheckpointAsync(
            new CheckpointRequest { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromMilliseconds(50)) }));
        node.AssertAllRun();
        Assert.Empty(node.Stored());
        Assert.Equal(1UL, (await node.CheckpointAsync()).Index);
    }

    [Fact]
    public async Task Disks_and_the_store_fail_checkpoints_with_their_reasons()
    {
        using var broken = new BrokenPlatform();
        await using TestNode node = await TestNode.StartAsync(1, before: n => n.Platform = n => broken.Over(n.Hypervisor));
        broken.Disk = () => new DiskNotCoveredException("a", "xvda");
        await TestNode.FailsAsync(StatusCode.FailedPrecondition, "DISK_NOT_COVERED", () => node.CheckpointAsync());
        broken.Disk = () => new DiskException("the pool is full");
        await TestNode.FailsAsync(StatusCode.Aborted, "DISK", () => node.CheckpointAsync());
        broken.Disk = () => new IOException("no space left on device");
        await TestNode.FailsAsync(StatusCode.Aborted, "STORE", () => node.CheckpointAsync());
        broken.Disk = null;
        _ = await node.CheckpointAsync();
    }

    [Fact]
    public async Task Calls_wait_for_their_turn_and_may_be_given_up()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);

        // It lasts until it is given up.
        using AsyncServerStreamingCall<CheckpointUpdate> first = node.Client.Checkpoint(new CheckpointRequest
        {
            Label = "first",
            SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromMinutes(30)),
        });
        while (node.Hypervisor.Guests[0].FaultsStruck(ModelFault.SuspendNotAcknowledged) == 0)
        {
            await Task.Delay(1);
        }

        using AsyncServerStreamingCall<CheckpointUpdate> second = node.Client.Checkpoint(new CheckpointRequest { Label = "second" });
        CheckpointUpdate? update = await second.ReadAsync();
        Assert.Equal(CheckpointStage.Queued, update!.Progress.Stage);
        using (AsyncServerStreamingCall<CheckpointUpdate> third = node.Client.Checkpoint(new CheckpointRequest { Label = "third" }))
        {
            Assert.Equal(CheckpointStage.Queued, (await third.ReadAsync())!.Progress.Stage);
        }

        // The server hears a little later that the third one's client is gone.
        while (node.Node.Queued > 1)
        {
            await Task.Delay(5);
        }

        first.Dispose();
        List<CheckpointUpdate> rest = await TestNode.AllAsync(second);
        Assert.Equal("second", rest[^1].Report.Label);
        CheckpointReport last = await node.CheckpointAsync(new CheckpointRequest { Label = "fourth" });
        Assert.Equal(["second", "fourth"], node.Stored().Select(m => m.Closing.Label));
        Assert.Equal(2UL, last.Index);
    }

    [Fact]
    public async Task A_checkpoint_given_up_while_domains_are_asked_leaves_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
        using (AsyncServerStreamingCall<CheckpointUpdate> call = node.Client.Checkpoint(new CheckpointRequest()))
        {
            while ((await call.ReadAsync())!.Progress.Stage != CheckpointStage.Suspending)
            {
            }

            // The stage begins before the guest is asked.
            while (node.Hypervisor.Guests[0].FaultsStruck(ModelFault.SuspendNotAcknowledged) == 0)
            {
                await Task.Delay(1);
            }
        }

        node.Hypervisor.Guests[0].Disarm(ModelFault.SuspendNotAcknowledged);
        Assert.Equal(1UL, (await node.CheckpointAsync()).Index);
        _ = Assert.Single(node.Stored());
        node.AssertAllRun();
    }

    [Fact]
    public async Task Checkpoints_are_listed_in_parts_and_shown()
    {
        await using TestNode node = await TestNode.StartAsync(1);
        for (int i = 1; i <= 3; i++)
        {
            _ = await node.CheckpointAsync(new CheckpointRequest { Label = $"c{i}" });
        }

        ListCheckpointsResponse part = await node.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Limit = 2 });
        Assert.True(part.More);
        Assert.Equal([1UL, 2UL], part.Checkpoints.Select(c => c.Epoch));
        part = await node.Client.ListCheckpointsAsync(new ListCheckpointsRequest { AfterEpoch = 2 });
        Assert.False(part.More);
        Checkpoint third = Assert.Single(part.Checkpoints);
        Assert.Equal(("c3", 3UL, "alpha", true), (third.Label, third.Index, third.Node, third.Durable));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "LIMIT", () => node.Client.ListCheckpointsAsync(new ListCheckpointsRequest { Limit = 1001 }));

        ShowCheckpointResponse shown = await node.Client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = "c3" });
        Assert.Equal(third, shown.Checkpoint);
        Assert.Equal("a", Assert.Single(shown.Domains).Name);
        foreach (string name in new[] { "latest", "3", third.Id[..8] })
        {
            Assert.Equal(third.Id, (await node.Client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = name })).Checkpoint.Id);
        }

        await TestNode.FailsAsync(StatusCode.NotFound, "CHECKPOINT", () => node.Client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = "none" }));
    }

    [Fact]
    public async Task Damage_is_found()
    {
        await using TestNode node = await TestNode.StartAsync(1);
        _ = await node.CheckpointAsync();
        List<VerifyUpdate> updates = await Verify(new VerifyRequest());
        Assert.Equal(new VerifySummary { Checkpoints = 1, Findings = 0 }, updates[^1].Summary);
        VerifyProgress last = updates[^2].Progress;
        Assert.Equal(last.TotalImages, last.Images);
        string image = Directory.GetFiles(node.Settings.Store, "*.inm", SearchOption.AllDirectories)
            .Single(f => !f.Contains(".tmp", StringComparison.Ordinal));
        Damage(image);
        foreach (VerifyRequest request in new[] { new VerifyRequest(), new VerifyRequest { Checkpoint = "latest" } })
        {
            updates = await Verify(request);
            Assert.True(updates[^1].Summary.Findings > 0);
            Assert.Equal(updates[^1].Summary.Findings, (uint)updates.Count(u => u.Finding is not null));
            Assert.Equal(image, updates.First(u => u.Finding is not null).Finding.File);
        }

        await TestNode.FailsAsync(StatusCode.NotFound, "CHECKPOINT", () => Verify(new VerifyRequest { Checkpoint = "none" }));
        node.DestroyAll();
        await TestNode.FailsAsync(StatusCode.DataLoss, "IMAGE", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "latest" }));
        Assert.Empty(node.Hypervisor.Guests);

        async Task<List<VerifyUpdate>> Verify(VerifyRequest request)
        {
            using AsyncServerStreamingCall<VerifyUpdate> call = node.Client.Verify(request);
            return await TestNode.AllAsync(call);
        }
    }

    [Fact]
    public async Task Domains_come_back()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Hypervisor.Advance(7);
        CheckpointReport report = await node.CheckpointAsync(new CheckpointRequest { Label = "seven" });
        node.Hypervisor.Advance(5);
        await TestNode.FailsAsync(StatusCode.AlreadyExists, "DOMAIN", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "seven" }));
        await TestNode.FailsAsync(StatusCode.NotFound, "CHECKPOINT", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "none" }));
        await TestNode.FailsAsync(StatusCode.NotFound, "DOMAIN", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "seven", Domains = { "z" } }));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "NEW_NAME", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "seven", NewName = "c" }));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "NEW_NAME", () => node.RestoreAsync(
            new RestoreRequest { Checkpoint = "seven", Domains = { "a" }, NewName = "c", DisksOnly = true }));

        RestoreResult copy = await node.RestoreAsync(new RestoreRequest { Checkpoint = "seven", Domains = { "a" }, NewName = "c" });
        Assert.Equal("c", Assert.Single(copy.Domains).Name);
        Assert.Equal(new Dictionary<string, long> { ["a"] = 12, ["b"] = 12, ["c"] = 7 }, node.Steps());
        node.DestroyAll();
        RestoreResult back = await node.RestoreAsync(new RestoreRequest { Checkpoint = "latest" });
        Assert.Equal(report.Id, back.CheckpointId);
        Assert.All(back.Domains, d => Assert.True(d.HasId));
        Assert.Equal(new Dictionary<string, long> { ["a"] = 7, ["b"] = 7 }, node.Steps());
        node.AssertWhole();
        node.AssertAllRun();
    }

    [Fact]
    public async Task A_restore_is_refused_while_a_checkpoint_is_taken()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await node.CheckpointAsync();
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
        using AsyncServerStreamingCall<CheckpointUpdate> call = node.Client.Checkpoint(
            new CheckpointRequest { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromMinutes(30)) });
        while ((await call.ReadAsync())!.Progress.Stage != CheckpointStage.Suspending)
        {
        }

        await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.RestoreAsync(
            new RestoreRequest { Checkpoint = "latest", Domains = { "a" }, NewName = "c" }));
    }

    [Fact]
    public async Task A_checkpoint_and_a_recovery_are_refused_while_domains_are_restored()
    {
        using var broken = new BrokenPlatform();
        await using TestNode node = await TestNode.StartAsync(1, before: n => n.Platform = n => broken.Over(n.Hypervisor));
        _ = await node.CheckpointAsync();
        using var there = new SemaphoreSlim(0);
        using var go = new SemaphoreSlim(0);
        broken.Restore = () =>
        {
            there.Release();
            go.Wait();
        };
        Task restore = node.RestoreAsync(new RestoreRequest { Checkpoint = "latest", NewName = "c" });
        await there.WaitAsync();
        Assert.Equal(NodeState.Restoring, (await node.Client.GetNodeAsync(new GetNodeRequest())).State);
        await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.CheckpointAsync());
        await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.Client.RecoverAsync(new RecoverRequest { Line = 1, Incarnation = 1 }));
        await TestNode.FailsAsync(StatusCode.FailedPrecondition, "BUSY", () => node.RestoreAsync(new RestoreRequest { Checkpoint = "latest", NewName = "d" }));
        go.Release();
        await restore;
        Assert.Equal(NodeState.Ready, (await node.Client.GetNodeAsync(new GetNodeRequest())).State);
        broken.Restore = null;
        Assert.Equal(2, (await node.CheckpointAsync()).Domains.Count);
    }

    [Fact]
    public async Task A_daemon_that_starts_is_not_serving_and_says_so()
    {
        using var broken = new BrokenPlatform();
        using var there = new SemaphoreSlim(0);
        using var go = new SemaphoreSlim(0);
        broken.Guardian = () =>
        {
            there.Release();
            go.Wait();
        };
        Task<TestNode>? starting = null;
        NodeSettings? settings = null;
        starting = Task.Run(() => TestNode.StartAsync(1, s => settings = s, n => n.Platform = n => broken.Over(n.Hypervisor)));
        await there.WaitAsync();
        using (RpcChannel channel = RpcChannel.ForUnixSocket(settings!.ControlSocket))
        {
            HealthCheckResponse health = await new Health.HealthClient(channel.Invoker).CheckAsync(new HealthCheckRequest { Service = "xtlckpt.v1.NodeControl" });
            Assert.Equal(HealthCheckResponse.Types.ServingStatus.NotServing, health.Status);
            var client = new NodeControl.NodeControlClient(channel.Invoker);
            Assert.Equal(NodeState.Starting, (await client.GetNodeAsync(new GetNodeRequest())).State);
            await TestNode.FailsAsync(StatusCode.Unavailable, null, () => client.ListCheckpointsAsync(new ListCheckpointsRequest()));
            await TestNode.FailsAsync(StatusCode.Unavailable, null, () => client.RecoverAsync(new RecoverRequest { Line = 1, Incarnation = 1 }));
        }

        go.Release();
        await using TestNode node = await starting;
        HealthCheckResponse serving = await new Health.HealthClient(node.Channel.Invoker).CheckAsync(new HealthCheckRequest());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, serving.Status);
    }

    [Fact]
    public async Task A_daemon_that_stops_ends_a_checkpoint_and_all_calls()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
        using AsyncServerStreamingCall<CheckpointUpdate> call = node.Client.Checkpoint(
            new CheckpointRequest { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromMinutes(30)) });
        using AsyncServerStreamingCall<Event> events = node.Client.WatchEvents(new WatchEventsRequest { After = 0 });
        Assert.Equal(NodeState.Ready, (await events.ReadAsync())!.State);
        while ((await call.ReadAsync())!.Progress.Stage != CheckpointStage.Suspending)
        {
        }

        await node.StopDaemonAsync();
        await TestNode.FailsAsync(StatusCode.Unavailable, null, () => TestNode.AllAsync(call));
        await TestNode.FailsAsync(StatusCode.Unavailable, null, () => TestNode.AllAsync(events));
        node.AssertAllRun();
        Assert.All(node.Hypervisor.Guests, g =>
        {
            using IDomain domain = node.Hypervisor.OpenDomain(g.Uuid);
            domain.StartDirtyLog().Dispose();
        });
        Assert.False(File.Exists(node.Settings.ControlSocket));
        node.Hypervisor.Guests[0].Disarm(ModelFault.SuspendNotAcknowledged);
        await node.StartDaemonAsync();
        Assert.Equal(1UL, (await node.CheckpointAsync()).Index);
    }

    [Fact]
    public async Task Basic_checkpoints_come_by_themselves_and_old_ones_go()
    {
        await using TestNode node = await TestNode.StartAsync(1, s => s with
        {
            BasicInterval = TimeSpan.FromMilliseconds(20),
            Retention = new() { KeepCount = 2 },
        });
        using AsyncServerStreamingCall<Event> events = node.Client.WatchEvents(new WatchEventsRequest { After = 0 });
        ulong index = 0;
        while (index < 6)
        {
            if ((await events.ReadAsync())!.CheckpointTaken is { } report)
            {
                Assert.Equal(CheckpointCause.Basic, report.Cause);
                Assert.Equal(++index, report.Index);
            }
        }

        // The store is tidied beside the checkpoints; what is left of it at a stop is left.
        while ((await node.Client.ListCheckpointsAsync(new ListCheckpointsRequest())).Checkpoints[0].Epoch == 1)
        {
            await Task.Delay(20);
        }

        await node.StopDaemonAsync();
        Assert.True(node.Stored()[0].Epoch > 1);
    }

    internal static void Damage(string image)
    {
        using FileStream stream = File.Open(image, FileMode.Open, FileAccess.ReadWrite);
        stream.Position = stream.Length / 2;
        int octet = stream.ReadByte();
        stream.Position--;
        stream.WriteByte((byte)(octet ^ 0x55));
    }
}
