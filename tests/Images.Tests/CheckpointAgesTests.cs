using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Tests.Files;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Ages by a clock that may jump.</summary>
public class CheckpointAgesTests
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    // Times of captures in hours, and which of them are left for an age of two days, in hours from the first.
    [Theory]
    [InlineData(new double[] { 0, 20, 40, 60 }, 60, new[] { 20.0, 40, 60 })]
    [InlineData(new double[] { 0, 1, 2, 3, 8763 }, 8763, new[] { 0.0, 1, 2, 3, 8763 })]
    [InlineData(new double[] { 0, 1, 2, 3 }, 8763, new[] { 0.0, 1, 2, 3 })]
    [InlineData(new double[] { 0, 1, 2, 8762, 3, 4 }, 4, new[] { 0.0, 1, 2, 8762, 3, 4 })]
    [InlineData(new double[] { 0, 1, 2, -8760, -8759 }, -8759, new[] { 0.0, 1, 2, -8760, -8759 })]

    // Weekly ones are no jumps; with three of them that is not known yet.
    [InlineData(new double[] { 0, 168, 336, 504 }, 504, new[] { 504.0 })]
    [InlineData(new double[] { 0, 168, 336 }, 336, new[] { 0.0, 168, 336 })]

    // After the jump time goes on, and what came before grows old.
    [InlineData(new double[] { 0, 1, 8762, 8782, 8802, 8812 }, 8812, new[] { 8782.0, 8802, 8812 })]
    public void A_jump_of_the_clock_removes_nothing(double[] captured, double now, double[] left)
    {
        using var store = DirectoryStore.Open("/store", new LosingFiles());
        foreach (double hours in captured)
        {
            Take(store, Sample.Time + (hours * Hour));
        }

        RetentionResult result = Retention.Apply(
            store, new RetentionPolicy { KeepFor = 48 * Hour }, Sample.Time + (now * Hour),
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(left, store.Checkpoints.Select(m => (m.Closing.Captured - Sample.Time) / Hour));
        Assert.Equal(captured.Length - left.Length, result.Removed.Count);
    }

    [Fact]
    public void A_jump_is_told_with_its_place()
    {
        using var store = DirectoryStore.Open("/store", new LosingFiles());
        Take(store, Sample.Time);
        Take(store, Sample.Time + Hour);
        Take(store, Sample.Time + Year);
        string told = Assert.Single(Apply(store, Sample.Time + Year).Undone);
        Assert.Contains("by the 8759 h after the checkpoint of epoch 2", told, StringComparison.Ordinal);
        Assert.Contains("'keep'", told, StringComparison.Ordinal);
        Assert.Contains(
            "since the checkpoint of epoch 3", Assert.Single(Apply(store, Sample.Time + (2 * Year)).Undone),
            StringComparison.Ordinal);
    }

    [Fact]
    public void The_number_that_is_kept_goes_by_no_clock()
    {
        using var store = DirectoryStore.Open("/store", new LosingFiles());
        for (int i = 0; i < 6; i++)
        {
            Take(store, Sample.Time - (i * Year));
        }

        _ = Retention.Apply(
            store, new RetentionPolicy { KeepCount = 2, KeepFor = Hour }, Sample.Time,
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal([5UL, 6UL], store.Checkpoints.Select(m => m.Epoch));
    }

    private static RetentionResult Apply(DirectoryStore store, DateTimeOffset now) => Retention.Apply(
        store, new RetentionPolicy { KeepFor = 48 * Hour }, now, cancellationToken: TestContext.Current.CancellationToken);

    private static void Take(DirectoryStore store, DateTimeOffset captured)
    {
        using var draft = new CheckpointDraft(store, "node1");
        _ = draft.AddPart(StoreSample.Memory(Guid.Empty));
        _ = draft.Commit(new CheckpointClosing(1, captured));
    }
}
