using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Guests that suspend when nobody waits for it any more.</summary>
public class PendingSuspensionTests
{
    private static NodeOptions Small => new() { StateDirectory = "", StagingPages = 2048 };

    [Fact]
    public async Task A_guest_that_suspends_after_the_process_that_asked_was_killed_is_resumed()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        await LeaveRequestAsync(node, guest);
        var waiting = new TaskCompletionSource<string>();
        Task<IReadOnlyList<string>> recovery = Task.Run(() => IntentFile.Recover(
            node.Options.StateDirectory, node.Hypervisor, waiting: m => waiting.TrySetResult(m),
            patience: TimeSpan.FromMinutes(5)));
        _ = await Task.WhenAny(waiting.Task, recovery);
        Assert.False(recovery.IsCompleted);
        Assert.Contains("Domain a was asked to suspend", await waiting.Task, StringComparison.Ordinal);
        node.Hypervisor.Advance(1);
        Assert.Contains("was left suspended and has been resumed", Assert.Single(await recovery), StringComparison.Ordinal);
        Assert.Equal(1, guest.Suspensions);
        node.AssertNoneSuspended();
        Assert.False(File.Exists(Path.Combine(node.Options.StateDirectory, "intent.json")));
    }

    [Fact]
    public async Task A_guest_that_never_suspends_is_waited_for_so_long_and_not_longer()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        await LeaveRequestAsync(node, guest);
        string done = Assert.Single(IntentFile.Recover(
            node.Options.StateDirectory, node.Hypervisor, patience: TimeSpan.FromMilliseconds(50)));
        Assert.Contains("not waited for any more", done, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_guest_that_another_program_suspended_since_is_left_to_it()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        await LeaveRequestAsync(node, guest);
        node.Hypervisor.Advance(1);
        using IDomain domain = node.Hypervisor.OpenDomain(guest.Uuid);
        domain.Resume();
        guest.SuspendFromOutside();
        Assert.Empty(IntentFile.Recover(node.Options.StateDirectory, node.Hypervisor));
        Assert.Equal(ShutdownReason.Suspend, domain.GetInfo().ShutdownReason);
    }

    [Fact]
    public async Task A_process_does_not_end_before_a_guest_has_followed_its_request()
    {
        await using var node = new ModelNode(Small with { SuspendTimeout = TimeSpan.FromMilliseconds(50) });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        guest.Arm(ModelFault.SuspendAfterWithdrawal);
        await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(1));
        Task end = node.Node.DisposeAsync().AsTask();
        while (!node.Said("Domain a was asked to suspend"))
        {
            Assert.False(end.IsCompleted);
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        Assert.Contains(
            guest.Uuid.ToString(), File.ReadAllText(Path.Combine(node.Options.StateDirectory, "intent.json")),
            StringComparison.Ordinal);
        node.Hypervisor.Advance(1);
        await end;
        Assert.Equal(1, guest.Suspensions);
        node.AssertNoneSuspended();
        Assert.False(File.Exists(Path.Combine(node.Options.StateDirectory, "intent.json")));
    }

    // As a process that was killed leaves it: the guest has acknowledged, and suspends with its next step.
    private static async Task LeaveRequestAsync(ModelNode node, ModelGuest guest)
    {
        await node.Node.DisposeAsync();
        guest.Arm(ModelFault.SuspendAfterWithdrawal);
        using IDomain domain = node.Hypervisor.OpenDomain(guest.Uuid);
        await Assert.ThrowsAsync<SuspendFailedException>(
            () => domain.SuspendAsync(TimeSpan.FromMilliseconds(20), TestContext.Current.CancellationToken));
        File.WriteAllText(
            Path.Combine(node.Options.StateDirectory, "intent.json"),
            $$"""{"Logs":[],"Suspended":["{{guest.Uuid}}"]}""");
    }
}
