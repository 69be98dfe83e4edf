using XenTwoLevelCkpt.Daemon.Recovery;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>What a node decides about its part of a recovery.</summary>
public sealed class RecoveryChoicesTests
{
    // A recovery of incarnation 2 to line 5 has ended here.
    private static readonly NodeRecord Recovered = new() { Incarnation = 2, Last = new LastRecovery(new RecoveryOrder(5, 2, []), []) };

    [Fact]
    public void A_lost_node_of_the_same_incarnation_has_the_same_past() => Assert.Null(RecoveryChoices.Undone(Recovered, 2, 9));

    [Theory]
    [InlineData(6, 5L)]
    [InlineData(5, null)]
    [InlineData(3, null)]
    public void A_lost_node_that_missed_the_last_recovery_goes_back_to_its_line_at_most(long line, long? undone) =>
        Assert.Equal(undone, RecoveryChoices.Undone(Recovered, 1, line));

    [Theory]
    [InlineData(4, 3L)]
    [InlineData(3, null)]
    public void A_recovery_that_began_on_the_lost_node_alone_bounds_the_line_by_the_least_promise(long line, long? undone)
    {
        NodeRecord promised = Recovered.Promising(new RecoveryOrder(3, 3, [])).Promising(new RecoveryOrder(4, 4, []));
        Assert.Equal(undone, RecoveryChoices.Undone(promised, 3, line));
    }

    [Fact]
    public void A_recovery_that_nobody_here_promised_leaves_no_line() => Assert.Equal(0, RecoveryChoices.Undone(new NodeRecord(), 1, 1));

    [Fact]
    public void A_recovery_that_is_under_way_counts_as_the_newest_one()
    {
        NodeRecord under = Recovered with { Pending = new PendingRecovery(new RecoveryOrder(4, 3, []), RollsBack: true) };
        Assert.Equal(4, RecoveryChoices.Undone(under, 2, 5));
        Assert.Null(RecoveryChoices.Undone(under, 2, 4));
    }
}
