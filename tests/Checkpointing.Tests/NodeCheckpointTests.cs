using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

public class NodeCheckpointTests
{
    private static NodeOptions Small => new() { StateDirectory = "", StagingPages = 2048 };

    [Theory]
    [InlineData(null)]
    [InlineData(0)]
    [InlineData(16)]
    public async Task Every_checkpoint_of_a_chain_restores_to_what_was_there(int? cacheEntries)
    {
        await using var node = new ModelNode(Small with { CacheEntries = cacheEntries });
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 100, 20));
        node.AddGuest("c", new WriterWorkload(pages: 700));
        node.Node.Start();
        node.Hypervisor.Start();
        var ids = new List<CheckpointReport>();
        for (ulong k = 1; k <= 6; k++)
        {
            ids.Add(await node.CheckpointAsync(k));
            await Task.Delay(60, TestContext.Current.CancellationToken);
        }

        node.AssertNoneSuspended();
        Assert.All(ids[0].Domains, d => Assert.NotNull(d.FullBecause));
        Assert.All(ids.Skip(1).SelectMany(i => i.Domains), d => Assert.Null(d.FullBecause));
        await node.Node.DisposeAsync();
        foreach (CheckpointReport report in new[] { ids[5], ids[0], ids[3] })
        {
            node.RestoreAndCompare(report.Id);
        }
    }

    [Fact]
    public async Task An_increment_holds_what_changed_and_little_else()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        guest.Step(1);
        CheckpointReport second = await node.CheckpointAsync(2);
        Assert.InRange(second.Domains[0].Memory.Residual, 8, 16);
        Assert.Equal(0, second.Domains[0].Memory.Evicted);
        CheckpointReport third = await node.CheckpointAsync(3);

        // Nothing ran: what Xen and the backends have mapped is all there is.
        Assert.InRange(third.Domains[0].Memory.Residual, 0, 4);
        node.RestoreAndCompare(second.Id);
        node.RestoreAndCompare(third.Id);
    }

    [Fact]
    public async Task Pages_that_fell_out_of_the_cache_are_not_copied_again_in_the_window()
    {
        await using var node = new ModelNode(Small with { CacheEntries = 32, MinSampleInterval = TimeSpan.FromHours(1) });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 900, 64));
        _ = await node.CheckpointAsync(1);
        guest.Step(20);
        CheckpointReport report = await node.CheckpointAsync(2);
        Assert.InRange(report.Domains[0].Memory.Residual, 1, 40);
        Assert.InRange(report.Domains[0].Memory.Evicted, 300, 1000);
        node.RestoreAndCompare(report.Id);
    }

    [Fact]
    public async Task Pages_that_enter_and_leave_the_physical_map_are_found()
    {
        await using var node = new ModelNode(Small with { MinSampleInterval = TimeSpan.FromHours(1) });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        Assert.True(guest.Unpopulate(1000));
        Assert.True(guest.Unpopulate(1001));
        CheckpointReport less = await node.CheckpointAsync(2);
        Assert.True(guest.Populate(1000));
        Assert.True(guest.Populate(1100));
        CheckpointReport more = await node.CheckpointAsync(3);
        node.RestoreAndCompare(less.Id);
        node.RestoreAndCompare(more.Id);
    }

    [Fact]
    public async Task Domains_may_come_and_go()
    {
        await using var node = new ModelNode(Small);
        ModelGuest a = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        CheckpointReport first = await node.CheckpointAsync(1);
        a.Destroy();
        node.AddGuest("c", new StepperWorkload(3, 300, 8));
        node.Hypervisor.Advance(3);
        CheckpointReport second = await node.CheckpointAsync(2);
        Assert.Equal(["b", "c"], second.Domains.Select(d => d.Name).Order());
        Assert.NotNull(second.Domains.Single(d => d.Name == "c").FullBecause);
        Assert.Null(second.Domains.Single(d => d.Name == "b").FullBecause);
        node.RestoreAndCompare(second.Id);
        node.RestoreAndCompare(first.Id);
    }

    [Fact]
    public async Task More_dirty_pages_than_fit_are_written_in_the_background_and_tried_again()
    {
        await using var node = new ModelNode(Small with { StagingPages = 256 });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 900, 8));
        _ = await node.CheckpointAsync(1);
        bool first = true;
        node.Watch = step =>
        {
            if (step == NodeStep.IntentWritten && first)
            {
                first = false;
                guest.Step(80);
            }
        };
        CheckpointReport report = await node.CheckpointAsync(2);
        Assert.Contains(node.Logged, l => l.Contains("staging area", StringComparison.Ordinal));
        node.RestoreAndCompare(report.Id);
    }

    [Fact]
    public async Task A_guest_that_does_not_answer_leaves_everybody_running_and_loses_nothing()
    {
        await using var node = new ModelNode(Small with { SuspendTimeout = TimeSpan.FromMilliseconds(300) });
        ModelGuest a = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        _ = await node.CheckpointAsync(1);
        node.Hypervisor.Advance(5);
        a.Arm(ModelFault.SuspendNotAcknowledged);
        CheckpointFailedException failure =
            await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
        Assert.Contains("did not acknowledge", failure.Message, StringComparison.Ordinal);
        node.AssertNoneSuspended();
        node.Hypervisor.Advance(5);
        CheckpointReport next = await node.CheckpointAsync(2);
        Assert.All(next.Domains, d => Assert.Null(d.FullBecause));
        node.RestoreAndCompare(next.Id);
    }

    [Fact]
    public async Task An_HVM_guest_is_refused_by_name()
    {
        await using var node = new ModelNode(Small);
        node.AddGuest("windows", kind: GuestKind.Hvm);
        CheckpointFailedException failure =
            await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync());
        Assert.Contains("windows is an HVM guest", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_a_process_left_behind_is_undone()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        string left = "";
        node.Watch = step =>
        {
            if (step == NodeStep.Suspended)
            {
                left = File.ReadAllText(Path.Combine(node.Options.StateDirectory, "intent.json"));
            }
        };
        _ = await node.CheckpointAsync(1);
        await node.Node.DisposeAsync();
        Assert.Contains(guest.Uuid.ToString(), left, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(node.Options.StateDirectory, "intent.json")));

        // As a process that was killed inside the window leaves it.
        using IDomain domain = node.Hypervisor.OpenDomain(guest.Uuid);
        _ = domain.StartDirtyLog();
        await domain.SuspendAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        File.WriteAllText(Path.Combine(node.Options.StateDirectory, "intent.json"), left);
        Assert.Equal(2, IntentFile.Recover(node.Options.StateDirectory, node.Hypervisor).Count);
        node.AssertNoneSuspended();
        domain.StartDirtyLog().Dispose();
        Assert.Empty(IntentFile.Recover(node.Options.StateDirectory, node.Hypervisor));
    }

    [Fact]
    public async Task A_domain_that_cannot_be_resumed_is_tried_again_by_the_next_checkpoint()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        _ = await node.CheckpointAsync(1);
        guest.Arm(ModelFault.ResumeFailure);
        CheckpointFailedException failure =
            await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
        Assert.Contains("could not be resumed", failure.Message, StringComparison.Ordinal);
        Assert.Single(node.Hypervisor.ListDomains(), d => d.ShutdownReason == ShutdownReason.Suspend);

        CheckpointReport next = await node.CheckpointAsync(2);
        node.AssertNoneSuspended();
        node.RestoreAndCompare(next.Id);
    }

    [Fact]
    public async Task A_domain_that_cannot_be_resumed_stays_in_the_record_when_the_process_ends()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        guest.Arm(ModelFault.ResumeFailure, persistent: true);
        await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(1));
        await node.Node.DisposeAsync();
        Assert.Single(node.Hypervisor.ListDomains(), d => d.ShutdownReason == ShutdownReason.Suspend);

        guest.Disarm(ModelFault.ResumeFailure);
        string done = Assert.Single(IntentFile.Recover(node.Options.StateDirectory, node.Hypervisor));
        Assert.Contains("was left suspended", done, StringComparison.Ordinal);
        node.AssertNoneSuspended();
    }

    [Fact]
    public async Task A_second_process_with_the_same_state_is_refused_and_undoes_nothing()
    {
        await using var node = new ModelNode(Small);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        Assert.Throws<StateLockedException>(() => IntentFile.Recover(node.Options.StateDirectory, node.Hypervisor));
        Assert.Throws<StateLockedException>(
            () => new NodeCheckpointer(node.Hypervisor, node.Store, node.Disks, node.Options));
        node.Hypervisor.Advance(3);
        Assert.Null((await node.CheckpointAsync(2)).Domains[0].FullBecause);
    }

    [Fact]
    public async Task A_checkpoint_names_its_label_index_and_measurements()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        CheckpointReport report = await node.CheckpointAsync(7);
        CheckpointManifest manifest = Assert.Single(node.Store.Checkpoints);
        Assert.Equal((7UL, "k7"), (manifest.Closing.Index, manifest.Closing.Label));
        Assert.Equal(report.Id, manifest.Id);
        Assert.Equal(
            [ImageContent.Registers, ImageContent.Memory, ImageContent.BlockDevice, ImageContent.Channels],
            manifest.Domains[0].Parts.Select(p => p.Content).Order());
        SavedState state = new Restore.Restorer(node.Store).ReadState(report.Id, guest.Uuid);
        Assert.Equal(report.Domains[0], state.Report);
        Assert.True(report.Pause > TimeSpan.Zero);
    }

    [Fact]
    public async Task The_nodes_channel_state_is_in_the_first_domains_com_image()
    {
        var channels = new RecordedChannels();
        await using var node = new ModelNode(Small, channels: channels);
        ModelGuest b = node.AddGuest("b");
        node.AddGuest("a");
        Guid first = node.Hypervisor.Guests.Min(g => g.Uuid);
        channels.At = () => Assert.All(node.Hypervisor.Guests, g => Assert.Equal(
            ShutdownReason.Suspend, node.Hypervisor.ListDomains().Single(d => d.Uuid == g.Uuid).ShutdownReason));
        CheckpointReport report = await node.CheckpointAsync(1);
        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        Assert.Equal("suspended 1"u8.ToArray(), new Restorer(node.Store).ReadNodeState(manifest).ToArray());
        Assert.Equal(first, manifest.Domains[0].Uuid);

        // An attempt that fails after the suspension has its call, too; its state goes nowhere.
        node.Strike = (NodeStep.Collected, () => new HypervisorException("struck"));
        await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
        Assert.Equal(1, channels.Taken);
        b.Step();
        report = await node.CheckpointAsync(2);
        manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        Assert.Equal("suspended 3"u8.ToArray(), new Restorer(node.Store).ReadNodeState(manifest).ToArray());
    }

    [Fact]
    public async Task One_checkpoint_may_be_of_some_domains()
    {
        await using var node = new ModelNode(Small);
        ModelGuest a = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        _ = await node.CheckpointAsync(1);
        node.Hypervisor.Advance(5);
        CheckpointReport some = await node.Node.CheckpointAsync(
            2, settings: new CheckpointSettings { Domains = [a.Uuid] }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(["a"], some.Domains.Select(d => d.Name));
        Assert.Null(some.Domains[0].FullBecause);
        node.Hypervisor.Advance(5);
        CheckpointReport all = await node.CheckpointAsync(3);
        Assert.Null(all.Domains.Single(d => d.Name == "a").FullBecause);
        Assert.NotNull(all.Domains.Single(d => d.Name == "b").FullBecause);
        node.RestoreAndCompare(all.Id);
    }

    [Fact]
    public async Task A_node_without_domains_is_saved_where_its_index_counts()
    {
        await using var node = new ModelNode(Small);
        await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(1));
        CheckpointReport empty = await node.Node.CheckpointAsync(
            4, settings: new CheckpointSettings { AllowEmpty = true }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Empty(empty.Domains);
        Assert.Equal(4UL, Assert.Single(node.Store.Checkpoints).Closing.Index);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        CheckpointReport next = await node.CheckpointAsync(5);
        node.RestoreAndCompare(next.Id);
    }

    [Fact]
    public async Task Domains_that_came_back_paused_are_removed_unless_they_run()
    {
        await using var node = new ModelNode(Small);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        CheckpointReport report = await node.CheckpointAsync(1);
        foreach (ModelGuest guest in node.Hypervisor.Guests)
        {
            guest.Destroy();
        }

        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        using (PausedDomains paused = new Restorer(node.Store).RestorePaused(node.Hypervisor, manifest, disks: node.Disks))
        {
            Assert.True(Assert.Single(paused.Domains).GetInfo().State.HasFlag(DomainStates.Paused));
        }

        Assert.Empty(node.Hypervisor.Guests);
        node.RestoreAndCompare(report.Id);
    }

    private sealed class RecordedChannels : IChannelState
    {
        private int _suspended;

        internal Action? At { get; set; }

        internal int Taken { get; private set; }

        public void Suspended()
        {
            _suspended++;
            At?.Invoke();
        }

        public ReadOnlyMemory<byte> TakeNodeState()
        {
            Taken++;
            return System.Text.Encoding.UTF8.GetBytes($"suspended {_suspended}");
        }

        public void Capture(Guid domain) => Assert.True(_suspended > 0);

        public void Write(Guid domain, ImageWriter writer)
        {
            // The node's state is all there is.
        }
    }
}
