using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class StoreTests
{
    private static readonly CommitStep[] CommitSteps =
    [
        CommitStep.FolderMade, CommitStep.ImageMade, CommitStep.ImagesWritten, CommitStep.ImagesSynced,
        CommitStep.NamesSynced, CommitStep.ManifestWritten, CommitStep.ManifestSynced, CommitStep.Renamed,
    ];

    private static readonly CommitStep[] FoldSteps =
    [
        CommitStep.ImageMade, CommitStep.ImagesWritten, CommitStep.ImagesSynced, CommitStep.ImagesNamed,
        CommitStep.NamesSynced, CommitStep.ManifestWritten, CommitStep.ManifestSynced, CommitStep.Renamed,
        CommitStep.Durable, CommitStep.GarbageRemoved,
    ];

    private static readonly CommitStep[] RemovalSteps =
        [CommitStep.RemovalRenamed, CommitStep.RemovalDurable, CommitStep.RemovalStarted];

    public static TheoryData<int, bool> CommitFaults => Faults(CommitSteps);

    public static TheoryData<int, bool> FoldFaults => Faults(FoldSteps);

    public static TheoryData<int, bool> RemovalFaults => Faults(RemovalSteps);

    [Fact]
    public void Every_step_has_a_test() => Assert.Equal(
        Enum.GetValues<CommitStep>().Order(),
        CommitSteps.Concat(FoldSteps).Concat(RemovalSteps).Distinct().Order());

    [Theory]
    [MemberData(nameof(CommitFaults))]
    public void A_commit_that_is_stopped_leaves_the_store_as_it_was_and_succeeds_when_repeated(int step, bool kill)
    {
        using var folder = new TemporaryFolder();
        var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest a = StoreSample.Add(store, Guid.Empty, 1);
        MemoryModel expected = StoreSample.State(store, a.Id);
        SortedDictionary<string, string> files = StoreSample.Snapshot(folder.Path);

        StopAt(store, (CommitStep)step);
        CheckpointDraft? draft = null;
        Assert.Throws<FaultException>(() =>
        {
            draft = new CheckpointDraft(store, "node1");
            StoreSample.Fill(draft, a.Id, w => w.AddZero(new PfnRun(0, 1)));
            _ = draft.Commit(StoreSample.Closing(2));
        });

        // A renamed folder is a checkpoint for whoever finds it: killed there, the commit has happened.
        bool committed = kill && (CommitStep)step == CommitStep.Renamed;
        store = Recover(store, draft, kill, folder.Path);
        using (store)
        {
            Assert.Equal(committed ? 2 : 1, store.Checkpoints.Count);
            if (!committed)
            {
                Assert.Equal(files, StoreSample.Snapshot(folder.Path));
                Assert.Single(Directory.GetDirectories(folder.Path));
            }

            expected.AssertSame(StoreSample.State(store, a.Id));
            CheckpointManifest b = StoreSample.Add(store, a.Id, 2, w => w.AddZero(new PfnRun(0, 1)));
            expected.OnZero(new PfnRun(0, 1));
            expected.AssertSame(StoreSample.State(store, b.Id));
            Assert.Empty(Verifier.VerifyStore(store));
        }
    }

    [Theory]
    [MemberData(nameof(FoldFaults))]
    public void A_fold_that_is_stopped_changes_no_state_and_succeeds_when_repeated(int step, bool kill)
    {
        using var folder = new TemporaryFolder();
        var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest[] all = ChainTests.Three(store);
        MemoryModel[] states = [.. all.Select(m => StoreSample.State(store, m.Id))];

        StopAt(store, (CommitStep)step);
        ICheckpointTransaction? transaction = null;
        if (kill)
        {
            // What Folding.Fold does, without the clean-up that a killed process does not do.
            Assert.Throws<FaultException>(() =>
            {
                transaction = store.Rewrite(2);
                CommitFolded(store, transaction, all[1]);
            });
        }
        else
        {
            Assert.Throws<FaultException>(
                () => Folding.Fold(store, all[1].Id, Sample.Domain, ImageContent.Memory));
        }

        store.Fault = null;
        if (!kill)
        {
            AssertWhole(store);
        }

        store.Dispose();
        GC.KeepAlive(transaction);
        using var again = DirectoryStore.Open(folder.Path);
        AssertWhole(again);
        if (ChainTests.Part(again, all[1].Id).Kind == ImageKind.Increment)
        {
            Assert.True(Folding.Fold(again, all[1].Id, Sample.Domain, ImageContent.Memory));
            AssertWhole(again);
        }

        // Three images and the manifest: nothing is left over.
        Assert.Equal(4, Directory.GetFiles(again.FolderOf(2)).Length);

        void AssertWhole(DirectoryStore opened)
        {
            Assert.Empty(Verifier.VerifyStore(opened));
            for (int i = 0; i < all.Length; i++)
            {
                states[i].AssertSame(StoreSample.State(opened, all[i].Id));
            }
        }
    }

    [Theory]
    [MemberData(nameof(RemovalFaults))]
    public void A_removal_that_is_stopped_removes_all_or_nothing(int step, bool kill)
    {
        using var folder = new TemporaryFolder();
        var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest[] all = ChainTests.Three(store);
        StopAt(store, (CommitStep)step);
        Assert.Throws<FaultException>(() => store.Remove(3));
        store.Fault = null;
        if (!kill)
        {
            Assert.Equal(2, store.Checkpoints.Count);
        }

        store.Dispose();
        using var again = DirectoryStore.Open(folder.Path);
        Assert.Equal(all[..2].Select(m => m.Id), again.Checkpoints.Select(m => m.Id));
        Assert.Empty(Verifier.VerifyStore(again));
        Assert.Equal(2, Directory.GetDirectories(folder.Path).Length);
        Assert.Single(again.Recovered);
    }

    [Fact]
    public void One_writer_at_a_time_and_readers_beside_it()
    {
        using var folder = new TemporaryFolder();
        using (var store = DirectoryStore.Open(folder.Path))
        {
            CheckpointManifest a = StoreSample.Add(store, Guid.Empty, 1);
            StoreLockedException e = Assert.Throws<StoreLockedException>(() => DirectoryStore.Open(folder.Path));
            Assert.Contains("is in use by another process", e.Message, StringComparison.Ordinal);
            using var reader = DirectoryStore.OpenReadOnly(folder.Path);
            Assert.Equal(a.Id, Assert.Single(reader.Checkpoints).Id);
            Assert.Throws<InvalidOperationException>(() => reader.Begin(9));
            Assert.Throws<InvalidOperationException>(() => reader.Remove(1));
        }

        using var second = DirectoryStore.Open(folder.Path);
        Assert.Single(second.Checkpoints);
    }

    [Fact]
    public void What_something_builds_upon_is_not_removed()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest[] all = ChainTests.Three(store);
        Assert.False(store.Remove(1));
        Assert.False(store.Remove(2));
        using (var draft = new CheckpointDraft(store, "node1"))
        {
            StoreSample.Fill(draft, all[2].Id, w => w.AddZero(new PfnRun(0, 1)));
            Assert.False(store.Remove(3));
        }

        using (store.Rewrite(3))
        {
            Assert.False(store.Remove(3));
            Assert.Throws<InvalidOperationException>(() => store.Rewrite(3));
        }

        Assert.True(store.Remove(3));
        Assert.Equal(2, store.Checkpoints.Count);
    }

    [Fact]
    public void A_part_that_is_not_possible_does_not_spoil_the_draft()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        using var draft = new CheckpointDraft(store, "node1");
        Assert.Throws<ArgumentException>(
            () => draft.AddPart(StoreSample.Memory(Guid.Empty) with { UnitSize = 1000 }));
        StoreSample.Fill(draft, Guid.Empty, w => w.AddZero(new PfnRun(0, 1)));
        _ = draft.Commit(StoreSample.Closing(1));
        Assert.Empty(Verifier.VerifyStore(store));
    }

    [Theory]
    [InlineData((int)CommitStep.ImageMade)]
    [InlineData((int)CommitStep.ManifestSynced)]
    [InlineData((int)CommitStep.Renamed)]
    public void A_checkpoint_that_could_not_be_discarded_is_not_in_the_way_of_the_next_one(int step)
    {
        using var folder = new TemporaryFolder();
        string root = Path.Combine(folder.Path, "store"), away = root + ".away";
        using var store = DirectoryStore.Open(root);
        _ = StoreSample.Add(store, Guid.Empty, 1);
        store.Fault = s =>
        {
            // The storage goes away with the step, and is back later.
            if ((int)s == step)
            {
                Directory.Move(root, away);
                throw new IOException("injected");
            }
        };
        Assert.Throws<IOException>(() => StoreSample.Add(store, Guid.Empty, 2));
        store.Fault = null;
        Directory.Move(away, root);
        Assert.Equal(2, Directory.GetDirectories(root).Length);
        _ = StoreSample.Add(store, Guid.Empty, 2);
        Assert.Empty(Verifier.VerifyStore(store));
        using DirectoryStore again = DirectoryStore.OpenReadOnly(root);
        Assert.Equal([1UL, 2UL], again.Checkpoints.Select(c => c.Epoch));
        Assert.Equal(2, Directory.GetDirectories(root).Length);
    }

    [Fact]
    public void A_part_that_could_not_be_begun_can_be_begun_again()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        using var draft = new CheckpointDraft(store, "node1");
        store.Fault = _ => throw new IOException("injected");
        Assert.Throws<IOException>(() => draft.AddPart(StoreSample.Memory(Guid.Empty)));
        store.Fault = null;
        StoreSample.Fill(draft, Guid.Empty, w => w.AddZero(new PfnRun(0, 1)));
        _ = draft.Commit(StoreSample.Closing(1));
        Assert.Empty(Verifier.VerifyStore(store));
    }

    [Fact]
    public void Files_are_for_their_owner_only()
    {
        using var folder = new TemporaryFolder();
        string root = Path.Combine(folder.Path, "store");
        using var store = DirectoryStore.Open(root);
        _ = StoreSample.Add(store, Guid.Empty, 1);
        const UnixFileMode Others = (UnixFileMode)0b111_111;
        Assert.All(
            Directory.GetFileSystemEntries(root, "*", SearchOption.AllDirectories).Append(root),
            path => Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(path) & Others));
    }

    [Fact]
    public void Opening_leaves_what_it_does_not_know_and_reports_what_it_cannot_read()
    {
        using var folder = new TemporaryFolder();
        string notes;
        using (var store = DirectoryStore.Open(folder.Path))
        {
            _ = ChainTests.Three(store);
            notes = Path.Combine(store.FolderOf(1), "notes.txt");
            File.WriteAllText(notes, "keep");
            File.Delete(Path.Combine(store.FolderOf(3), "manifest.json"));
        }

        using var again = DirectoryStore.Open(folder.Path);
        Assert.True(File.Exists(notes));
        Assert.Equal(4UL, again.NextEpoch);
        Finding finding = Assert.Single(again.Problems);
        Assert.EndsWith("3/manifest.json", finding.File, StringComparison.Ordinal);
        Assert.Equal(3, Directory.GetFiles(again.FolderOf(3)).Length);
    }

    private static void CommitFolded(DirectoryStore store, ICheckpointTransaction transaction, CheckpointManifest at)
    {
        using Chain chain = Chain.Open(store, at.Id, Sample.Domain, ImageContent.Memory);
        MemoryModel state = StoreSample.State(store, at.Id);
        string file = $"{Sample.Domain:D}.1.inm";
        using var writer = new ImageWriter(
            transaction.Create(file),
            chain.Header with { Kind = ImageKind.Full, ParentId = Guid.Empty, Synthetic = true }, file);
        foreach ((long pfn, byte[] data) in state.Units)
        {
            writer.AddUnits(new PfnRun(pfn, 1), data);
        }

        ImageSummary summary = writer.Complete(chain.Trailer.Closing);
        ManifestPart old = chain.Links[0].Part;
        ManifestPart part = old with
        {
            ParentId = Guid.Empty,
            File = file,
            Length = summary.Length,
            Digest = summary.Digest,
        };
        transaction.Commit(at with
        {
            Domains = [.. at.Domains.Select(
                d => d with { Parts = [.. d.Parts.Select(p => p == old ? part : p)] })],
        });
    }

    private static DirectoryStore Recover(DirectoryStore store, CheckpointDraft? draft, bool kill, string path)
    {
        store.Fault = null;
        if (!kill)
        {
            draft?.Dispose();
            return store;
        }

        // A killed process cleans nothing up; the kernel takes its lock.
        store.Dispose();
        GC.KeepAlive(draft);
        return DirectoryStore.Open(path);
    }

    private static void StopAt(DirectoryStore store, CommitStep step) =>
        store.Fault = s =>
        {
            if (s == step)
            {
                throw new FaultException();
            }
        };

    private static TheoryData<int, bool> Faults(IEnumerable<CommitStep> steps)
    {
        var data = new TheoryData<int, bool>();
        foreach (CommitStep step in steps)
        {
            data.Add((int)step, false);
            data.Add((int)step, true);
        }

        return data;
    }

    private sealed class FaultException : Exception
    {
        internal FaultException()
            : base("stopped by the test")
        {
        }
    }
}
