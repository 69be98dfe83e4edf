using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Which checkpoints the channel log is kept for.</summary>
public sealed class CheckpointHistoryTests
{
    [Theory]
    [InlineData(long.MaxValue, 4L)]
    [InlineData(9, 4L)]
    [InlineData(2, 2L)]
    [InlineData(1, 1L)]
    [InlineData(0, null)]
    public void What_a_checkpoint_in_the_store_needs_is_kept_also_where_no_failure_leads_back_to_it(long oldest, long? member)
    {
        var history = new CheckpointHistory { Durable = 5 };
        for (long index = 1; index <= 5; index++)
        {
            history.Add(index, index - 1);
        }

        Assert.Equal(member, history.Forget([4, 7], oldest));
        Assert.Null(history.Forget([4, 7], oldest));
    }
}
