using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>What a node takes from heartbeats, and what it does not.</summary>
public sealed class HeartbeatTests
{
    [Fact]
    public async Task A_heartbeat_with_a_higher_index_forces_no_checkpoint()
    {
        await using Victim victim = await Victim.StartAsync();
        using ChannelCall call = await HeardAsync(victim, index: 9, durable: 7);
        Assert.Equal(0, victim.Messenger.Index);

        // It carries no message: only one would be of the time behind a checkpoint of its sender.
        await call.WriteAsync(Victim.Batch(2, sn: 9));
        _ = await Victim.AcknowledgedAsync(call, 2);
        Assert.Equal(9, victim.Messenger.Index);
        Assert.Empty(victim.Checkpoints.Errors);
    }

    [Fact]
    public async Task A_node_that_goes_on_forgets_checkpoints_of_others_behind_the_line()
    {
        await using Victim victim = await Victim.StartAsync();
        using ChannelCall call = await HeardAsync(victim, index: 9, durable: 7);
        Assert.Equal(7, DurableOfAlice(victim));
        victim.Messenger.Quiesce();
        Assert.True(victim.Messenger.Survive(5, 1));
        Assert.Equal(5, DurableOfAlice(victim));
    }

    [Fact]
    public async Task A_roll_back_is_on_disk_before_anybody_hears_of_it()
    {
        await using Victim victim = await Victim.StartAsync();
        using var begun = new ManualResetEventSlim();
        using var goesOn = new ManualResetEventSlim();
        victim.ChannelLog.Syncing = () =>
        {
            begun.Set();
            goesOn.Wait();
        };
        victim.Messenger.Quiesce();
        Task rolledBack = Task.Run(() => victim.Messenger.RollBack(default, 0, 1));
        begun.Wait(TestContext.Current.CancellationToken);

        // Where it did not wait it would have returned long ago; that it waits is not measured.
        await Task.WhenAny(rolledBack, Task.Delay(300, TestContext.Current.CancellationToken));
        bool waits = !rolledBack.IsCompleted;
        goesOn.Set();
        Assert.True(waits);
        await rolledBack;
        Assert.Equal(victim.ChannelLog.Appended, victim.ChannelLog.Committed);
    }

    private static long DurableOfAlice(Victim victim) => victim.Messenger.Peers.First(peer => peer.Name == "alice").DurableIndex;

    private static async Task<ChannelCall> HeardAsync(Victim victim, ulong index, ulong durable)
    {
        ChannelCall call = await victim.OpenAsync(victim.Hello());
        await call.WriteAsync(new ChannelMessage { Heartbeat = new Heartbeat { Sn = index, DurableSn = durable } });

        // What comes behind it has been read once this is acknowledged.
        await call.WriteAsync(Victim.Batch(1, sn: 0));
        _ = await Victim.AcknowledgedAsync(call, 1);
        return call;
    }
}
