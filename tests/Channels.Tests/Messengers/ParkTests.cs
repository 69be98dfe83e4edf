using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>What a messenger gives for the next process, and when there is nothing to go on with.</summary>
public sealed class ParkTests
{
    [Fact]
    public async Task A_node_that_carries_frames_is_parked()
    {
        await using Victim victim = await Victim.StartAsync();
        Assert.Equal(0, ParkedChannels.Decode((await victim.Messenger.ParkAsync())!.Value).Incarnation);
        Assert.Null(await victim.Messenger.ParkAsync());
    }

    [Fact]
    public async Task A_node_that_has_not_begun_is_not()
    {
        await using Victim victim = await Victim.StartAsync(start: false);
        Assert.Null(await victim.Messenger.ParkAsync());
    }

    [Fact]
    public async Task A_node_in_a_recovery_is_not()
    {
        await using Victim victim = await Victim.StartAsync();
        victim.Messenger.Quiesce();
        Assert.Null(await victim.Messenger.ParkAsync());
    }

    [Fact]
    public async Task A_node_with_suspended_guests_is_not()
    {
        await using Victim victim = await Victim.StartAsync();
        victim.Checkpoints.Stays = true;
        Assert.True(victim.Messenger.Tick(CheckpointCause.Basic));
        await victim.Checkpoints.Suspended.WaitAsync();
        Assert.Null(await victim.Messenger.ParkAsync());
    }
}
