using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Directories;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>Directories on the kernel's overlayfs, with a process in the place of the guest's server.</summary>
// One at a time: a process that one of them starts has, until it is another program, what the others have open.
[Collection("directories")]
public sealed class DirectoryDiskTests
{
    [Fact]
    public void An_increment_has_what_changed_and_a_chain_restores_to_each_state()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        File.WriteAllText($"{data}/kept", "kept");
        File.WriteAllText($"{data}/written", "one");
        File.WriteAllText($"{data}/moved", "moved");
        File.WriteAllText($"{data}/removed", "removed");
        Fill($"{data}/replaced", "inner");
        Fill($"{data}/deep/er", "file");
        IReadOnlyList<string> first = node.Describe();

        // What is written after the seal is not in the image.
        Guid one = node.Checkpoint(Guid.Empty, () => File.WriteAllText($"{data}/later", "later"));
        (ImageKind kind, List<string[]> layers) = node.Image(one);
        Assert.Equal(ImageKind.Full, kind);
        Assert.Equal(
            [
                "d .", "d deep", "d deep/er", "f deep/er/file", "f kept", "f moved", "f removed", "d replaced",
                "f replaced/inner", "f written",
            ],
            Assert.Single(layers));

        File.AppendAllText($"{data}/written", "two");
        File.Move($"{data}/moved", $"{data}/deep/moved");
        File.Delete($"{data}/removed");
        Directory.Delete($"{data}/replaced", recursive: true);
        Fill($"{data}/replaced", "other");
        File.SetUnixFileMode($"{data}/deep/er", (UnixFileMode)448);
        IReadOnlyList<string> second = node.Describe();
        Guid two = node.Checkpoint(one);
        (kind, layers) = node.Image(two);
        Assert.Equal(ImageKind.Increment, kind);
        Assert.Equal(
            [
                "d .", "d deep", "d deep/er", "f deep/moved", "f later", "w moved", "w removed", "o replaced",
                "f replaced/other", "f written",
            ],
            Assert.Single(layers));

        // Nothing but the root.
        Guid three = node.Checkpoint(two);
        Assert.Equal(["d ."], Assert.Single(node.Image(three).Layers));
        Assert.Equal(second, node.Describe());

        File.WriteAllText($"{data}/newest", "newest");
        IReadOnlyList<string> newest = node.Describe();
        foreach ((Guid checkpoint, IReadOnlyList<string> state) in new[] { (three, second), (one, first), (two, second) })
        {
            node.Put(checkpoint);
            Assert.Equal(state, node.Describe());
        }

        Assert.Equal(3, node.Record.Kept.Count);
        node.Directories.TakeBack(DirectoryNode.Name);
        Assert.Equal(first, node.Describe());
        node.Directories.TakeBack(DirectoryNode.Name);
        node.Directories.TakeBack(DirectoryNode.Name);
        Assert.Equal(newest, node.Describe());
        Assert.Empty(node.Record.Kept);
        Assert.Empty(node.Record.Unwanted);
        Assert.Contains("Nothing is kept", Assert.Throws<DiskException>(
            () => node.Directories.TakeBack(DirectoryNode.Name)).Message, StringComparison.Ordinal);

        // The next image builds upon nothing that was put aside.
        Assert.Equal(ImageKind.Full, node.Image(node.Checkpoint(three)).Kind);
    }

    [Fact]
    public void After_many_increments_an_image_is_full_again()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        Guid last = Guid.Empty;
        var kinds = new List<ImageKind>();
        for (int k = 0; k < DirectoryDisk.MaxIncrements + 3; k++)
        {
            File.WriteAllText($"{node.Data}/k", $"{k}");
            last = node.Checkpoint(last);
            kinds.Add(node.Image(last).Kind);
        }

        Assert.Equal([0, DirectoryDisk.MaxIncrements + 1], kinds.Index().Where(k => k.Item == ImageKind.Full).Select(k => k.Index));
        Assert.Equal(["d .", "f k"], node.Image(last).Layers.SelectMany(l => l));
    }

    [Fact]
    public void Files_that_are_open_are_sealed_as_they_are_and_written_on()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        File.WriteAllText($"{data}/base", "base");
        Guid one = node.Checkpoint(Guid.Empty);
        using var server = new Server(node.Export);
        _ = server.Do($"mkdir {data}/sub; exec 4>>{data}/sub/log; echo one >&4; exec 5>>{data}/base; echo +one >&5; "
            + $"exec 6<>{data}/gone; echo one >&6; rm {data}/gone");
        IReadOnlyList<string> second = node.Describe();
        Guid two = node.Checkpoint(one, () => server.Do("echo two >&4; echo +two >&5; echo two >&6"));
        Assert.Equal("one\ntwo\n", File.ReadAllText($"{data}/sub/log"));
        Assert.Equal("base+one\n+two\n", File.ReadAllText($"{data}/base"));

        // Open since two layers, under another name, cut and with other attributes.
        _ = server.Do($"mv {data}/sub/log {data}/log; echo three >&4; truncate -s 3 {data}/base; chmod 600 {data}/base");
        IReadOnlyList<string> third = node.Describe();
        Guid three = node.Checkpoint(two, () => server.Do("echo four >&4; echo +four >&5"));
        Assert.Equal(["d .", "f base", "f log", "d sub", "w sub/log"], Assert.Single(node.Image(three).Layers));
        Assert.Equal("one\ntwo\nthree\nfour\n", server.Do($"cat {data}/log"));
        Assert.Equal("bas+four\n", server.Do($"cat {data}/base"));
        _ = server.Do("exec 4>&- 5>&- 6>&-");
        IReadOnlyList<string> fourth = node.Describe();
        Guid four = node.Checkpoint(three);

        // Closed: they stay in the layer below.
        Assert.Equal(["d ."], Assert.Single(node.Image(node.Checkpoint(four)).Layers));
        server.Dispose();
        foreach ((Guid checkpoint, IReadOnlyList<string> state) in new[] { (two, second), (three, third), (four, fourth) })
        {
            node.Put(checkpoint);
            Assert.Equal(state, node.Describe());
        }
    }

    [Fact]
    public void Files_with_several_names_stay_one_file_over_checkpoints_and_restores()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        Fill($"{data}/a", "x");
        RawFiles.Link($"{data}/a/x", $"{data}/y");
        Guid one = node.Checkpoint(Guid.Empty);
        File.AppendAllText($"{data}/y", "more");
        Assert.Equal(File.ReadAllText($"{data}/y"), File.ReadAllText($"{data}/a/x"));
        Guid two = node.Checkpoint(one);
        RawFiles.Link($"{data}/y", $"{data}/a/z");
        File.Delete($"{data}/y");
        IReadOnlyList<string> third = node.Describe();
        Guid three = node.Checkpoint(two);
        node.Put(three);
        Assert.Equal(third, node.Describe());
        File.AppendAllText($"{data}/a/z", "again");
        Assert.Equal(File.ReadAllText($"{data}/a/z"), File.ReadAllText($"{data}/a/x"));
        Assert.Equal(2u, RawFiles.Stat($"{data}/a/x").Links);
    }

    [Fact]
    public void A_copy_is_adopted_and_its_source_stays()
    {
        using var node = new DirectoryNode();
        string source = $"{node.Folder}/source";
        Samples.Fill(source);
        if (Environment.OSVersion.Version >= new Version(6, 7))
        {
            // Of an overlayfs inside the tree; earlier kernels keep them from guests.
            RawAttributes.Set($"{source}/sub", "trusted.overlay.opaque", "y"u8);
            RawAttributes.Set($"{source}/sub", "trusted.overlay.redirect", "/other"u8);
        }

        IReadOnlyList<string> before = Tree.Describe(source);
        _ = node.Directories.Adopt(DirectoryNode.Name, node.Root, source);
        Assert.Equal(before, node.Describe());
        File.AppendAllText($"{node.Data}/linked", "more");
        Assert.Equal(File.ReadAllText($"{node.Data}/linked"), File.ReadAllText($"{node.Data}/sub/other"));
        Assert.Equal(before, Tree.Describe(source));
        IReadOnlyList<string> changed = node.Describe();
        Guid one = node.Checkpoint(Guid.Empty);
        node.Put(one);
        Assert.Equal(changed, node.Describe());
        Assert.Contains("into itself", Assert.Throws<DiskException>(
            () => node.Directories.Adopt("e", $"{source}/e", source)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_that_is_given_up_loses_no_change()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        File.WriteAllText($"{node.Data}/one", "1");
        Guid one = node.Checkpoint(Guid.Empty);
        File.WriteAllText($"{node.Data}/two", "2");
        using (DirectoryDisk disk = node.OpenDisk())
        {
            disk.Prepare(Guid.NewGuid());
            disk.Seal();
            File.Delete($"{node.Data}/one");
            disk.Abandon();
            disk.Prepare(Guid.NewGuid());
            disk.Abandon();
        }

        File.WriteAllText($"{node.Data}/three", "3");
        IReadOnlyList<string> state = node.Describe();
        Guid two = node.Checkpoint(one);
        Assert.Equal([["d .", "f two"], ["d .", "w one", "f three"]], node.Image(two).Layers);
        Assert.Empty(node.Record.Unwanted);
        node.Put(two);
        Assert.Equal(state, node.Describe());
    }

    [Fact]
    public void Layers_are_merged_and_nothing_of_them_is_lost()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        var random = new Random(7);

        // A lowest layer that has something which the others hide.
        Samples.Change(node.Data, random, 200);
        node.Put(node.Checkpoint(Guid.Empty));
        using var server = new Server(node.Export);
        _ = server.Do($"exec 4>>{node.Data}/log");
        var states = new List<(Guid Checkpoint, IReadOnlyList<string> State)>();
        Guid last = Guid.Empty;
        for (int i = 0; i < (2 * DirectoryDisk.MaxLayers) + 3; i++)
        {
            Samples.Change(node.Data, random, 12);
            _ = server.Do($"echo {i} >&4");
            if (i % 9 == 8)
            {
                // Sealed, and in no image: these layers are merged among themselves.
                using DirectoryDisk disk = node.OpenDisk();
                disk.Prepare(Guid.NewGuid());
                disk.Seal();
                disk.Abandon();
            }

            IReadOnlyList<string> state = node.Describe();
            last = node.Checkpoint(last);
            Assert.Equal(state, node.Describe());
            Assert.InRange(node.Record.Layers.Count, 1, DirectoryDisk.MaxLayers + 3);
            states.Add((last, state));
        }

        Assert.Empty(node.Record.Unwanted);
        Assert.Equal(ImageKind.Increment, node.Image(last).Kind);
        server.Dispose();
        for (int i = states.Count - 1; i >= 0; i -= 6)
        {
            node.Put(states[i].Checkpoint);
            Assert.Equal(states[i].State, node.Describe());
        }
    }

    [Fact]
    public void What_layers_hide_stays_hidden_when_they_are_merged()
    {
        using DirectoryNode node = new DirectoryNode().Create();
        string data = node.Data;
        Fill($"{data}/again", "old");
        Fill($"{data}/file", "old");
        Fill($"{data}/gone", "old");
        node.Put(node.Checkpoint(Guid.Empty));
        Directory.Delete($"{data}/again", recursive: true);
        Directory.Delete($"{data}/file", recursive: true);
        Directory.Delete($"{data}/gone", recursive: true);
        Guid last = node.Checkpoint(Guid.Empty);
        Fill($"{data}/again", "new");
        File.WriteAllText($"{data}/file", "file");
        last = node.Checkpoint(last);
        File.Delete($"{data}/file");
        Fill($"{data}/file", "new");
        last = node.Checkpoint(last);
        IReadOnlyList<string> state = node.Describe();
        Assert.Equal(2, node.Directories.MergeLayers(DirectoryNode.Name, 1).Layers.Count);
        last = node.Checkpoint(last);
        Assert.Equal(state, node.Describe());
        node.Put(last);
        Assert.Equal(state, node.Describe());
    }

    private static void Fill(string directory, string file)
    {
        _ = Directory.CreateDirectory(directory);
        File.WriteAllText($"{directory}/{file}", file);
    }
}
