using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Tests.Files;
using XenTwoLevelCkpt.Images.Verification;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Stores on file systems that are full.</summary>
public class FullStoreTests
{
    private const string Root = "/store";

    // What the overhead of an estimate is, and a little more.
    private const long Slack = 80 << 10;

    private static readonly RetentionPolicy Prune = new() { KeepCount = 2, MinGain = 0, LeavesRoom = false };

    [Fact]
    public void Increments_are_merged_where_there_is_no_room_for_a_full_image()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        RetentionTests.Guest guest = Fill(store, "hot", 20);
        long full = RetentionPlan.SizeOf(store.Checkpoints[0]), before = files.Used;
        files.Capacity = before + Slack;
        RetentionResult result = RetentionTests.Apply(store, Prune);
        Assert.NotEmpty(result.Merged);
        Assert.Equal([1UL, 19UL, 20UL], store.Checkpoints.Select(m => m.Epoch));
        Assert.True(files.Used < before - (15 * 6 * Sample.Unit));
        string undone = Assert.Single(result.Undone);
        Assert.Contains("before epoch 19", undone, StringComparison.Ordinal);
        Assert.Contains("Make room", undone, StringComparison.Ordinal);
        AssertWhole(store, guest);

        // With room it goes all the way.
        files.Capacity = files.Used + full + (2 * Slack);
        result = RetentionTests.Apply(store, Prune);
        Assert.Empty(result.Undone);
        Assert.Equal([19UL, 20UL], store.Checkpoints.Select(m => m.Epoch));
        AssertWhole(store, guest);
    }

    [Fact]
    public void Steps_as_large_as_there_is_room_for_make_room_for_the_next()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        RetentionTests.Guest guest = Fill(store, "random", 12, units: 32);
        files.Capacity = files.Used + Slack;
        RetentionResult result = RetentionTests.Apply(store, Prune);
        Assert.True(result.Merged.Count > 1, $"{result.Merged.Count} merged");
        Assert.Equal([11UL, 12UL], store.Checkpoints.Select(m => m.Epoch));
        AssertWhole(store, guest);
    }

    [Fact]
    public void What_needs_no_writing_goes_from_a_store_without_any_room()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        RetentionTests.Guest guest = Fill(store, "hot", 5);
        Guid parent = Guid.Empty;
        for (ulong k = 6; k <= 10; k++)
        {
            parent = guest.Take(store, parent, k);
        }

        files.Capacity = files.Used;
        RetentionResult result = RetentionTests.Apply(store, Prune);
        Assert.Equal(5, result.Removed.Count(m => m.Epoch <= 5));
        Assert.True(store.Checkpoints.Count >= 2);
        AssertWhole(store, guest);
    }

    // Where the estimate is wrong, or somebody else fills the file system meanwhile.
    [Fact]
    public void A_file_system_that_becomes_full_meanwhile_is_told_and_changes_nothing()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        RetentionTests.Guest guest = Fill(store, "hot", 20);
        long before = files.Used;
        files.Before = (what, path) =>
        {
            if (what == "write" && path.Contains(".1.inm", StringComparison.Ordinal))
            {
                throw new IOException("No space left on device", 28);
            }
        };
        RetentionResult result = RetentionTests.Apply(store, Prune);
        files.Before = null;
        Assert.Contains("Make room", Assert.Single(result.Undone), StringComparison.Ordinal);
        Assert.Empty(result.Problems);
        Assert.Equal(before, files.Used);
        AssertWhole(store, guest);
    }

    // The next checkpoint's increment would be lost with the room for it.
    [Theory]
    [InlineData("hot")]
    [InlineData("sweep")]
    [InlineData("random")]
    public void Checkpoints_that_are_taken_meanwhile_have_their_room_at_every_moment(string load)
    {
        const int Most = 30;
        for (int room = 2; room <= Most; room++)
        {
            var files = new LosingFiles();
            using var store = DirectoryStore.Open(Root, files);
            RetentionTests.Guest guest = Fill(store, load, 30);
            long newest = RetentionPlan.SizeOf(store.Checkpoints[^1]);
            files.Capacity = files.Used + (room * newest);
            bool lacks = false;
            files.Before = (_, _) => lacks |= files.Capacity - files.Used < Math.Min(2, room) * newest;
            _ = RetentionTests.Apply(store, new RetentionPolicy { KeepCount = 3, MaxIncrements = room % 2 == 0 ? 8 : 512 });
            Assert.False(lacks, $"room for {room}");
            files.Before = null;
            _ = guest.Take(store, store.Checkpoints[^1].Id, 31);
            AssertWhole(store, guest);
        }
    }

    [Fact]
    public void Room_is_made_while_there_is_still_some()
    {
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        RetentionTests.Guest guest = Fill(store, "hot", 20);
        var policy = new RetentionPolicy { KeepCount = 2, MinGain = 1000 };
        Assert.Empty(RetentionTests.Apply(store, policy).Removed);
        files.Capacity = files.Used + (3 * RetentionPlan.SizeOf(store.Checkpoints[^1])) + Slack;
        _ = guest.Take(store, store.Checkpoints[^1].Id, 21);
        for (ulong k = 22; k <= 60; k++)
        {
            _ = RetentionTests.Apply(store, policy);
            _ = guest.Take(store, store.Checkpoints[^1].Id, k);
        }

        AssertWhole(store, guest);
    }

    private static RetentionTests.Guest Fill(DirectoryStore store, string load, int count, int units = 256)
    {
        var guest = new RetentionTests.Guest(load, units, 6);
        Guid parent = Guid.Empty;
        for (int k = 1; k <= count; k++)
        {
            parent = guest.Take(store, parent, (ulong)k);
        }

        return guest;
    }

    private static void AssertWhole(DirectoryStore store, RetentionTests.Guest guest)
    {
        Assert.Empty(Verifier.VerifyStore(store));
        foreach (CheckpointManifest manifest in store.Checkpoints)
        {
            guest.States[manifest.Id].AssertSame(StoreSample.State(store, manifest.Id));
        }
    }
}
