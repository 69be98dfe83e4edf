using System.Globalization;
using System.Security.Cryptography;
using XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.NativeInterop.Files;
using Xunit;
using Real = XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories.Tree;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

// What the writer makes of real directories, against the directories themselves.
public sealed class LayerAgreementTests
{
    // In the words of Tree.Describe.
    private static List<string> Describe(TreeFile root)
    {
        List<string> lines = [];
        Dictionary<TreeFile, (int Count, string First)> names = [];
        Walk(root, ".", (file, path) =>
            names[file] = names.TryGetValue(file, out (int Count, string First) seen) ? (seen.Count + 1, seen.First) : (1, path));
        Walk(root, ".", (file, path) => lines.Add(Line(file, path, names[file])));
        return lines;
    }

    private static void Walk(TreeFile file, string path, Action<TreeFile, string> visit)
    {
        visit(file, path);
        foreach ((string name, TreeFile child) in file.Children)
        {
            Walk(child, path == "." ? name : $"{path}/{name}", visit);
        }
    }

    private static string Line(TreeFile file, string path, (int Count, string First) names)
    {
        (RawFileType type, string what) = file.Type switch
        {
            LayerEntryType.File => (RawFileType.Regular, Contents(file) + (names.Count == 1 ? "1" : $"{names.Count} {names.First}")),
            LayerEntryType.SymbolicLink => (RawFileType.Symlink, $"-> {file.Target}"),
            LayerEntryType.CharacterDevice => (RawFileType.CharacterDevice, $"({file.Major}, {file.Minor})"),
            LayerEntryType.BlockDevice => (RawFileType.BlockDevice, $"({file.Major}, {file.Minor})"),
            LayerEntryType.Directory => (RawFileType.Directory, ""),
            LayerEntryType.Pipe => (RawFileType.Fifo, ""),
            _ => (RawFileType.Socket, ""),
        };
        string mode = type == RawFileType.Symlink ? "" : Convert.ToString(file.Mode, 8);
        string attributes = string.Join(' ', file.Attributes.Select(a => $"{a.Key}={Convert.ToHexString(a.Value.Span)}"));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{path} {type} {mode} {file.Owner}:{file.Group} {file.Modified.Seconds}.{file.Modified.Nanoseconds:D9} {what} {attributes}");
    }

    private static string Contents(TreeFile file) =>
        $"{file.Contents.Length} {Convert.ToHexString(SHA256.HashData(file.Contents.Span))[..16]} ";

    private static void AssertFolds(DirectoryNode node, IReadOnlyList<(Guid Checkpoint, IReadOnlyList<string> State)> states)
    {
        Store store = Store.Read(node.Store.Root);
        Assert.Empty(store.Damage);
        Assert.Equal(states.Select(s => s.Checkpoint), store.Checkpoints.Select(c => c.Manifest.Id));
        foreach ((int k, (Guid _, IReadOnlyList<string> state)) in states.Index())
        {
            PartState part = store.State(store.Checkpoints[k], node.Domain, ImageContent.Directory, DirectoryNode.Tag);
            Assert.Equal(state, Describe(part.Tree().Root!));
        }
    }

    private static void Fill(string root)
    {
        Samples.Fill(root);
        RawFiles.RemoveTree($"{root}/socket");
        RawFiles.MakeDirectory($"{root}/replaced");
        Samples.Write($"{root}/replaced/old", [1]);
        RawFiles.MakeDirectory($"{root}/kept");
        RawFiles.MakeDirectory($"{root}/kept/inner");
        Samples.Write($"{root}/kept/inner/removed", [1]);
        Samples.Write($"{root}/kept/inner-", [2]);
        Sparse($"{root}/sparse", 3 << 20);
        RawFiles.SetModified($"{root}/sparse", new RawTime(9_000_000_000, 5));
        RawFiles.SetOwner($"{root}/linked", 2_097_151, 2_097_152);
        RawAttributes.Set($"{root}/linked", "user.a-b", [1]);
        RawAttributes.Set($"{root}/linked", "user.a=b", "line\nfeed\0"u8);
        RawAttributes.Set($"{root}/linked", "user.a%3Db", []);
    }

    private static void Sparse(string path, long length)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = RawFiles.Create(path);
        RandomAccess.Write(file, "x"u8, length - 1);
    }

    [Fact]
    public void One_layer_is_the_tree()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Owners and device nodes are root's.");
        string folder = Directory.CreateTempSubdirectory("second-reader-").FullName;
        try
        {
            string source = $"{folder}/source";
            Fill(source);
            RawFiles.MakeNode($"{source}/socket", RawFileType.Socket);
            FileTree tree = new();
            tree.Apply(Layer.Read(Archive.Of(source)));
            Assert.Equal(Real.Describe(source), Describe(tree.Root!));
        }
        finally
        {
            RawFiles.RemoveTree(folder);
        }
    }

    [Fact]
    public void A_chain_folds_to_the_tree_of_each_checkpoint()
    {
        using DirectoryNode node = new();
        string source = $"{node.Folder}/source", data = $"{node.Root}/mnt/export/data";
        Fill(source);
        _ = node.Directories.Adopt(DirectoryNode.Name, node.Root, source);
        Action[] steps =
        [
            () => { },
            () =>
            {
                File.AppendAllText($"{data}/linked", "more");
                RawFiles.RemoveTree($"{data}/empty");
                RawFiles.RemoveTree($"{data}/kept/inner/removed");
                RawFiles.RemoveTree($"{data}/replaced");
                RawFiles.MakeDirectory($"{data}/replaced");
                Samples.Write($"{data}/replaced/new", [2]);
                RawFiles.SetModified($"{data}/owned", new RawTime(-1, 0));
            },
            () =>
            {
                RawFiles.RemoveTree($"{data}/replaced");
                Samples.Write($"{data}/replaced", [3]);
                RawFiles.RemoveTree($"{data}/null");
                RawFiles.MakeDirectory($"{data}/null");
                RawFiles.Link($"{data}/linked", $"{data}/null/third");
                RawFiles.RemoveTree($"{data}/again");
                RawAttributes.Set($"{data}/kept", "user.kept", [1]);
                RawAttributes.Set($"{data}/kept", "trusted.overlay.opaque", "y"u8);
                RawFiles.MakeNode($"{data}/kept/zero", RawFileType.CharacterDevice, (1, 5));
                Sparse($"{data}/kept/sparse", 5 << 20);
            },
            () => { },
            () =>
            {
                RawFiles.RemoveTree($"{data}/replaced");
                RawFiles.MakeDirectory($"{data}/replaced");
                RawFiles.RemoveTree($"{data}/{new string('d', 200)}");
                RawFiles.MakeSymlink("elsewhere", $"{data}/{new string('d', 200)}");
                RawFiles.MakeDirectory($"{data}/{new string('\xe4', 250)}");
                Samples.Write($"{data}/{new string('\xe4', 250)}/{new string('f', 255)}", [5]);
            },
        ];

        List<(Guid Checkpoint, IReadOnlyList<string> State)> states = [];
        foreach (Action step in steps)
        {
            step();
            IReadOnlyList<string> state = node.Describe();
            states.Add((node.Checkpoint(states.Count == 0 ? Guid.Empty : states[^1].Checkpoint), state));
        }

        AssertFolds(node, states);
    }

    [Theory]
    [InlineData(1, 9)]
    [InlineData(2, 9)]
    [InlineData(3, 100)]
    public void Random_changes_fold(int seed, int period)
    {
        using DirectoryNode node = new DirectoryNode().Create();
        Random random = new(seed);
        List<(Guid Checkpoint, IReadOnlyList<string> State)> states = [];
        for (int k = 0; k < 24; k++)
        {
            Samples.Change(node.Data, random, k == 0 ? 200 : 15);
            IReadOnlyList<string> state = node.Describe();

            // Now and then a full image of many layers.
            Guid last = k % period == 0 ? Guid.Empty : states[^1].Checkpoint;
            states.Add((node.Checkpoint(last), state));
        }

        AssertFolds(node, states);

        // Images with several layers, and increments that build upon them.
        foreach (int k in new[] { 4, 7, 13 })
        {
            Assert.True(Folding.Fold(node.Store, states[k].Checkpoint, node.Domain, Format.ImageContent.Directory, DirectoryNode.Tag));
        }

        AssertFolds(node, states);
    }

    [Fact]
    public void A_full_image_has_the_attributes_of_an_overlayfs_inside_the_tree()
    {
        Assert.SkipUnless(
            Environment.OSVersion.Version >= new Version(6, 7), "Linux before 6.7 has no attributes of an overlayfs inside another one.");
        using DirectoryNode node = new DirectoryNode().Create();
        RawFiles.MakeDirectory($"{node.Data}/d");
        RawAttributes.Set($"{node.Data}/d", "trusted.overlay.origin", [1]);
        RawAttributes.Set($"{node.Data}/d", "trusted.overlay.opaque", "y"u8);
        RawAttributes.Set($"{node.Data}/d", "trusted.overlay.redirect", "/other"u8);
        IReadOnlyList<string> state = node.Describe();
        AssertFolds(node, [(node.Checkpoint(Guid.Empty), state)]);
    }
}
