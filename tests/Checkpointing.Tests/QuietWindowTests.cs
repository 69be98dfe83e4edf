using XenTwoLevelCkpt.Checkpointing.Node;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>A region without collections that cannot be had fails no checkpoint, and the next one may have one.</summary>
public class QuietWindowTests
{
    [Fact]
    public void More_memory_than_the_heap_can_keep_ready_is_no_failure()
    {
        Begin(() => QuietWindow.TryBegin(1L << 50), wanted: false);
        Begin(() => QuietWindow.TryBegin(), wanted: true);
    }

    [Fact]
    public void A_region_that_a_collection_ended_does_not_keep_the_next_from_beginning()
    {
        Begin(
            () =>
            {
                bool begun = QuietWindow.TryBegin();
                GC.Collect();
                return begun;
            },
            wanted: true);
        Begin(() => QuietWindow.TryBegin(), wanted: true);
    }

    // Another test's node may have the region, which is the process's.
    private static void Begin(Func<bool> begin, bool wanted)
    {
        bool begun = begin();
        if (wanted && !begun)
        {
            begun = SpinWait.SpinUntil(begin, TimeSpan.FromMinutes(1));
        }

        Assert.Equal(wanted, begun);
        if (begun)
        {
            QuietWindow.End();
        }
    }
}
