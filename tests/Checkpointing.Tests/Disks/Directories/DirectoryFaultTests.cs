using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>A process that ends between any two steps loses nothing, and leaves nothing for good.</summary>
// One at a time: a process that one of them starts has, until it is another program, what the others have open.
[Collection("directories")]
public sealed class DirectoryFaultTests
{
    public static TheoryData<int> CheckpointSteps =>
        [.. Enum.GetValues<DirectoryStep>().Where(s => s <= DirectoryStep.Kept).Select(s => (int)s)];

    public static TheoryData<int> RestoreSteps =>
        [.. Enum.GetValues<DirectoryStep>().Where(s => s >= DirectoryStep.LayerRestored).Select(s => (int)s)];

    [Theory]
    [MemberData(nameof(CheckpointSteps))]
    public void A_checkpoint_ended_at_any_step_loses_no_change(int at)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        var random = new Random(at);
        Samples.Change(data, random, 40);
        File.WriteAllText($"{data}/linked", "1");
        RawFiles.Link($"{data}/linked", $"{data}/again");
        Guid one = node.Checkpoint(Guid.Empty);
        using var server = new Server(node.Export);
        _ = server.Do($"exec 4>>{data}/log; echo one >&4");
        Samples.Change(data, random, 40);
        IReadOnlyList<string> before = node.Describe(links: false);
        _ = Assert.Throws<Ended>(() => node.Checkpoint(one, fault: s => ThrowAt(s, at)));
        Assert.Equal(before, node.Describe(links: false));

        // The guest goes on, and what it has open is where it looks.
        _ = server.Do("echo two >&4");
        Assert.Equal("one\ntwo\n", File.ReadAllText($"{data}/log"));
        Samples.Change(data, random, 40);
        File.AppendAllText($"{data}/linked", "2");
        Assert.Equal(File.ReadAllText($"{data}/linked"), File.ReadAllText($"{data}/again"));
        IReadOnlyList<string> second = node.Describe(links: false);

        // The same without the fault, by a process that knows only what is on disk.
        Guid two = node.Checkpoint(node.Record.Sealed!.Checkpoint);
        Assert.Equal(second, node.Describe(links: false));
        Assert.Equal(2u, RawFiles.Stat($"{data}/again").Links);
        RequireTidy(node);
        server.Dispose();
        Samples.Change(data, random, 40);
        Guid three = node.Checkpoint(two);
        IReadOnlyList<string> third = node.Describe();
        node.Put(two);
        Assert.Equal(second, node.Describe(links: false));
        node.Put(three);
        Assert.Equal(third, node.Describe());
    }

    [Theory]
    [MemberData(nameof(CheckpointSteps))]
    public void After_a_boot_everything_that_was_written_is_there(int at) => RequireAllAfterBoot(at, names: true);

    [Theory]
    [MemberData(nameof(CheckpointSteps))]
    public void After_a_boot_a_file_that_is_in_both_layers_is_as_it_was_written(int at) =>
        RequireAllAfterBoot(at, names: false);

    // Where no names are made, the marks alone tell which layer was in use.
    private static void RequireAllAfterBoot(int at, bool names)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        Guid one = node.Checkpoint(Guid.Empty);
        Samples.Change(data, new Random(at), 40);
        File.WriteAllText($"{data}/linked", "1");
        RawFiles.Link($"{data}/linked", $"{data}/again");
        _ = Assert.Throws<Ended>(() => node.Checkpoint(one, fault: s => ThrowAt(s, at)));
        File.AppendAllText($"{data}/linked", "2");
        if (names)
        {
            Samples.Change(data, new Random(at + 1), 40);
        }

        IReadOnlyList<string> before = node.Describe(links: false);
        node.Places.UnmountAll();
        Assert.Contains("not active", Assert.Throws<DiskException>(() => node.Checkpoint(one)).Message, StringComparison.Ordinal);
        Assert.Empty(node.Directories.ActivateAll());
        Assert.Equal(before, node.Describe(links: false));
        Guid two = node.Checkpoint(one);
        Assert.Equal(2u, RawFiles.Stat($"{data}/again").Links);
        IReadOnlyList<string> second = node.Describe();
        RequireTidy(node);
        node.Put(two);
        Assert.Equal(second, node.Describe());
        Assert.Equal(before, node.Describe(links: false));
    }

    [Theory]
    [MemberData(nameof(RestoreSteps))]
    public void A_restore_ended_at_any_step_leaves_one_of_both_states(int at)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        Samples.Change(node.Data, new Random(at), 60);
        IReadOnlyList<string> first = node.Describe();
        Guid one = node.Checkpoint(Guid.Empty);
        Samples.Change(node.Data, new Random(at + 1), 60);
        IReadOnlyList<string> second = node.Describe();

        // Ended: nothing of what the process would have undone is undone.
        byte[] record = [];
        _ = Assert.ThrowsAny<Exception>(() => node.Put(one, s =>
        {
            if ((int)s == at)
            {
                record = File.ReadAllBytes(node.Registry.Path);
                throw new Ended();
            }
        }));
        File.WriteAllBytes(node.Registry.Path, record);
        node.Places.UnmountAll();
        Assert.Empty(node.Directories.ActivateAll());
        bool recorded = (DirectoryStep)at == DirectoryStep.RestoreRecorded;
        Assert.Equal(recorded ? first : second, node.Describe());
        node.Put(one);
        Assert.Equal(first, node.Describe());
        RequireTidy(node);
    }

    [Theory]
    [InlineData((int)DirectoryStep.Merged)]
    [InlineData((int)DirectoryStep.MergeRecorded)]
    public void A_merge_ended_at_any_step_loses_nothing(int at)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        var random = new Random(at);
        Guid last = Guid.Empty;
        for (int i = 0; i < 4; i++)
        {
            Samples.Change(node.Data, random, 30);
            last = node.Checkpoint(last);
        }

        IReadOnlyList<string> before = node.Describe();
        IReadOnlyList<string> seen = node.Describe(links: false);
        var directories = new OverlayDirectories(node.Registry) { Fault = s => ThrowAt(s, at) };
        _ = Assert.Throws<Ended>(() => directories.MergeLayers(DirectoryNode.Name, 2));
        Assert.Equal(seen, node.Describe(links: false));
        node.Places.UnmountAll();
        Assert.Empty(node.Directories.ActivateAll());
        Assert.Equal(before, node.Describe());
        last = node.Checkpoint(last);
        Assert.Equal(before, node.Describe());
        RequireTidy(node);
        node.Put(last);
        Assert.Equal(before, node.Describe());
    }

    private static void ThrowAt(DirectoryStep step, int at)
    {
        if ((int)step == at)
        {
            throw new Ended();
        }
    }

    // No layer but those of the record, and one mount.
    private static void RequireTidy(DirectoryNode node)
    {
        DirectoryRecord record = node.Record;
        Assert.Empty(record.Unwanted);
        Assert.Empty(record.Restoring);
        Assert.Null(record.Pending);
        string[] known =
        [
            .. record.Layers.Select(l => $"{l.Id}"), $"{record.Upper}",
            .. record.Kept.SelectMany(k => k.Layers.Select(l => $"{l.Id}").Append($"{k.Upper}")),
        ];
        Assert.Equal(known.Order(StringComparer.Ordinal), RawFiles.List($"{node.Root}/layers"));
        Assert.Equal(record.Upper, node.Places.MountedUpper());
        Assert.Equal(2, Mounts.Read().Count(m => m.Point.StartsWith($"{node.Root}/", StringComparison.Ordinal)));
    }

    private sealed class Ended : Exception;
}
