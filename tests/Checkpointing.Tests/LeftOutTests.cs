using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Domains that cannot be part of a checkpoint: they are named, and the others are saved.</summary>
public sealed class LeftOutTests
{
    private static readonly NodeOptions Skip = new()
    {
        StateDirectory = "",
        WhenUnable = UnableRule.Skip,
        SuspendTimeout = TimeSpan.FromMilliseconds(700),
        WaitLimit = TimeSpan.FromMilliseconds(100),
    };

    [Theory]
    [InlineData("paused")]
    [InlineData("shut-down")]
    [InlineData("kind")]
    [InlineData("suspended")]
    public async Task One_that_cannot_suspend_is_named_and_the_others_are_saved(string reason)
    {
        await using var node = new ModelNode(Skip);
        ModelGuest well = node.AddGuest("well", new StepperWorkload(1, 300, 8), kind: GuestKind.Pvh);
        ModelGuest ill = node.AddGuest("ill", new StepperWorkload(1, 300, 8), kind: reason == "kind" ? GuestKind.Hvm : GuestKind.Pvh);
        switch (reason)
        {
            case "paused":
                ill.Pause();
                break;
            case "shut-down":
                ill.ShutDown();
                break;
            case "suspended":
                ill.SuspendFromOutside();
                break;
        }

        node.Hypervisor.Advance(3);
        CheckpointReport report = await node.CheckpointAsync();

        Assert.Equal(well.Uuid, Assert.Single(report.Domains).Uuid);
        AssertLeftOut(node, report, ill, reason);
        if (reason == "suspended")
        {
            // Another program's suspension is not ours to end.
            Assert.Contains(node.Hypervisor.ListDomains(), d => d.Uuid == ill.Uuid && d.ShutdownReason == ShutdownReason.Suspend);
        }

        node.RestoreAndCompare(report.Id);
    }

    [Fact]
    public async Task Where_the_rule_says_so_the_checkpoint_fails_and_names_the_domain()
    {
        await using var node = new ModelNode(Skip with { WhenUnable = UnableRule.Fail });
        _ = node.AddGuest("well");
        node.AddGuest("ill").Pause();

        CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync());

        Assert.Contains("ill is paused", e.Message, StringComparison.Ordinal);
        Assert.Empty(node.Store.Checkpoints);
    }

    [Fact]
    public async Task A_policy_of_its_own_counts_for_a_domain()
    {
        DomainPolicy? Policies(Guid uuid, string? name) => name switch
        {
            "out" => new DomainPolicy { Include = false },
            "must" => new DomainPolicy { WhenUnable = UnableRule.Fail },
            _ => null,
        };
        await using var node = new ModelNode(Skip with { Policies = Policies });
        ModelGuest excluded = node.AddGuest("out");
        ModelGuest must = node.AddGuest("must");
        _ = node.AddGuest("well");

        AssertLeftOut(node, await node.CheckpointAsync(), excluded, "excluded");

        must.Pause();
        _ = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
    }

    [Fact]
    public async Task A_guest_that_hangs_holds_the_others_for_the_limit_once_and_not_again()
    {
        await using var node = new ModelNode(Skip);
        ModelGuest well = node.AddGuest("well", new StepperWorkload(1, 300, 8));
        ModelGuest hung = node.AddGuest("hung", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync();
        Assert.Equal(1, well.Suspensions);

        hung.Arm(ModelFault.SuspendNotAcknowledged, persistent: true);
        node.Hypervisor.Advance();
        CheckpointReport second = await node.CheckpointAsync(2);

        // Suspended, resumed at the limit, and suspended again when the other had failed.
        Assert.Equal(3, well.Suspensions);
        AssertLeftOut(node, second, hung, "no-answer");

        node.Hypervisor.Advance();
        CheckpointReport third = await node.CheckpointAsync(3);
        Assert.Equal(4, well.Suspensions);
        AssertLeftOut(node, third, hung, "no-answer");
        node.AssertNoneSuspended();
        node.RestoreAndCompare(third.Id);
    }

    [Fact]
    public async Task A_slow_guest_is_part_of_every_checkpoint_and_the_others_do_not_wait_for_it()
    {
        await using var node = new ModelNode(Skip with { SuspendTimeout = TimeSpan.FromSeconds(20) });
        ModelGuest quick = node.AddGuest("quick", new StepperWorkload(1, 300, 8));
        _ = node.AddGuest("slow", new StepperWorkload(1, 300, 8), suspendLatency: TimeSpan.FromMilliseconds(400));

        _ = await node.CheckpointAsync();
        Assert.Equal(2, quick.Suspensions);
        node.Hypervisor.Advance(2);
        CheckpointReport second = await node.CheckpointAsync(2);

        // Asked when the slow one was suspended already.
        Assert.Equal(3, quick.Suspensions);
        Assert.Empty(second.LeftOut);
        Assert.Equal(2, second.Domains.Count);
        node.RestoreAndCompare(second.Id);
    }

    [Fact]
    public async Task What_a_guest_left_out_wrote_is_in_its_next_checkpoint_which_is_an_increment()
    {
        await using var node = new ModelNode(Skip with { CacheEntries = 64 });
        ModelGuest well = node.AddGuest("well", new StepperWorkload(1, 300, 8), pages: 4096);
        ModelGuest ill = node.AddGuest("ill", new StepperWorkload(2, 3000, 40), pages: 4096);
        CheckpointReport first = await node.CheckpointAsync();

        // More than the cache holds: some of it is in the open epoch's image when the guest is left out.
        node.Hypervisor.Advance(5);
        node.Node.SampleOnce();
        node.Hypervisor.Advance(5);
        node.Node.SampleOnce();
        ill.Pause();
        CheckpointReport second = await node.CheckpointAsync(2);
        AssertLeftOut(node, second, ill, "paused");
        CheckpointReport third = await node.CheckpointAsync(3);
        AssertLeftOut(node, third, ill, "paused");

        ill.Unpause();
        node.Hypervisor.Advance(2);
        CheckpointReport fourth = await node.CheckpointAsync(4);

        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == fourth.Id);
        ManifestPart memory = manifest.Find(ill.Uuid, ImageContent.Memory)!;
        Assert.Equal(ImageKind.Increment, memory.Kind);
        Assert.Equal(first.Id, memory.ParentId);
        Assert.Equal(third.Id, manifest.Find(well.Uuid, ImageContent.Memory)!.ParentId);
        node.RestoreAndCompare(fourth.Id);
    }

    [Fact]
    public async Task One_that_exchanges_frames_with_other_nodes_is_never_left_out()
    {
        DomainPolicy? Policies(Guid uuid, string? name) =>
            name == "excluded" ? new DomainPolicy { Include = false } : new DomainPolicy { WhenUnable = UnableRule.Skip };
        string[] reaching = [];
        await using var node = new ModelNode(
            Skip with { Policies = Policies, ReachesPeers = c => reaching.Contains(c.Name, StringComparer.Ordinal) });
        _ = node.AddGuest("well");
        ModelGuest hung = node.AddGuest("hung");
        node.AddGuest("paused").Pause();
        _ = node.AddGuest("excluded");
        hung.Arm(ModelFault.SuspendNotAcknowledged, persistent: true);
        CheckpointReport report = await node.CheckpointAsync();
        Assert.Equal(["excluded", "hung", "paused"], report.LeftOut.Select(d => d.Name).Order());

        foreach (string name in new[] { "excluded", "hung", "paused" })
        {
            reaching = [name];

            // Also while others of its kind would not be asked.
            CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
            Assert.Contains(name, e.Message, StringComparison.Ordinal);
            node.AssertNoneSuspended();
        }

        reaching = [];
        _ = await node.CheckpointAsync(2);
    }

    [Fact]
    public async Task Nobody_left_is_told_with_every_name()
    {
        await using var node = new ModelNode(Skip);
        node.AddGuest("one").Pause();
        node.AddGuest("two").ShutDown();

        CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync());

        Assert.Contains("one is paused", e.Message, StringComparison.Ordinal);
        Assert.Contains("two has shut down (crash)", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ModelFault.SuspendNotAcknowledged, false)]
    [InlineData(ModelFault.SuspendNotAcknowledged, true)]
    [InlineData(ModelFault.CrashDuringSuspend, false)]
    [InlineData(ModelFault.CrashDuringSuspend, true)]
    public async Task The_only_guest_may_be_lost_to_a_checkpoint_while_it_suspends_itself(ModelFault fault, bool mayBeEmpty)
    {
        await using var node = new ModelNode(Skip);
        ModelGuest guest = node.AddGuest("only", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync();
        guest.Arm(fault);

        Task<CheckpointReport> attempt = node.Node.CheckpointAsync(
            2, settings: new CheckpointSettings { AllowEmpty = mayBeEmpty }, cancellationToken: TestContext.Current.CancellationToken);
        if (mayBeEmpty)
        {
            CheckpointReport report = await attempt;
            Assert.Empty(report.Domains);
            Assert.Equal("only", Assert.Single(report.LeftOut).Name);
        }
        else
        {
            CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => attempt);
            Assert.Contains("only", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_only_guest_may_be_destroyed_while_it_suspends_itself()
    {
        await using var node = new ModelNode(Skip with { SuspendTimeout = TimeSpan.FromMinutes(2) });
        ModelGuest guest = node.AddGuest("only", suspendLatency: TimeSpan.FromMinutes(1));
        node.Watch = step =>
        {
            if (step == NodeStep.IntentWritten)
            {
                _ = Task.Run(async () =>
                {
                    await Task.Delay(50);
                    guest.Destroy();
                });
            }
        };
        CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync());
        Assert.Contains("only ended", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_domain_that_was_named_must_not_be_left_out()
    {
        await using var node = new ModelNode(Skip);
        _ = node.AddGuest("well");
        ModelGuest ill = node.AddGuest("ill");
        ill.Pause();

        CheckpointFailedException e = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.Node.CheckpointAsync(
            1, settings: new CheckpointSettings { Domains = [ill.Uuid] }, cancellationToken: TestContext.Current.CancellationToken));

        Assert.Contains("ill is paused", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_disk_that_cannot_be_saved_leaves_its_domain_out()
    {
        await using var node = new ModelNode(Skip, refuseDisksOf: "ill");
        ModelGuest well = node.AddGuest("well");
        ModelGuest ill = node.AddGuest("ill");

        CheckpointReport report = await node.CheckpointAsync();

        Assert.Equal(well.Uuid, Assert.Single(report.Domains).Uuid);
        AssertLeftOut(node, report, ill, "disk");
    }

    private static void AssertLeftOut(ModelNode node, CheckpointReport report, ModelGuest guest, string reason)
    {
        LeftOutDomain told = Assert.Single(report.LeftOut);
        Assert.Equal((guest.Uuid, guest.Name, reason), (told.Uuid, told.Name, told.Reason));
        Assert.Contains(guest.Name, told.Message, StringComparison.Ordinal);
        Assert.Equal(told, Assert.Single(node.Store.Checkpoints.Single(m => m.Id == report.Id).LeftOut));
    }
}
