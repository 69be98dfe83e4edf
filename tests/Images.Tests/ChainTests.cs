using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class ChainTests
{
    // Checkpoints of one domain: full ones in between, and numbers of units that rise and fall.
    private static readonly Gen<(int Units, bool Full, Step[] Steps)[]> Histories =
        from count in Gen.Choose(1, 7)
        from history in (from units in Gen.Elements(40, 64, 65, 128)
                         from full in Gen.Elements(true, false, false, false)
                         from steps in Step.Steps(units)
                         select (units, full, steps)).ArrayOf(count)
        select history;

    [Fact]
    public void The_state_at_any_checkpoint_is_the_models_before_and_after_folding() => Prop.ForAll(
        Arb.From(
            from history in Histories
            from folds in Gen.Choose(0, 6).ArrayOf(3)
            select (history, folds)),
        c =>
        {
            using var folder = new TemporaryFolder();
            using var store = DirectoryStore.Open(folder.Path);
            MemoryModel[] models = Write(store, c.history, out Guid[] ids);
            AssertStates(store, ids, models);
            Judge.Store(folder.Path);
            foreach (int fold in c.folds.Select(f => f % ids.Length))
            {
                ManifestPart before = Part(store, ids[fold]);
                bool folded = Folding.Fold(store, ids[fold], Sample.Domain, ImageContent.Memory);
                Assert.Equal(before.Kind == ImageKind.Increment, folded);
                Assert.Equal(ImageKind.Full, Part(store, ids[fold]).Kind);
                AssertStates(store, ids, models);
                Assert.Empty(Verifier.VerifyStore(store));
            }

            using var again = DirectoryStore.OpenReadOnly(folder.Path);
            AssertStates(again, ids, models);
        }).Check(Properties.Quiet.WithMaxTest(40));

    [Fact]
    public async Task Checkpoints_are_taken_while_others_are_folded_and_removed()
    {
        const int Count = 60;
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        using var done = new CancellationTokenSource();
        int folded = 0, removed = 0;
        var policy = new RetentionPolicy { KeepCount = 7, MaxIncrements = 2, MinGain = 0 };

        // A thread of its own: one of the pool may come only when the writer is done.
        Task tidying = Task.Factory.StartNew(
            () =>
            {
                while (!done.IsCancellationRequested)
                {
                    RetentionResult result = Retention.Apply(store, policy, Sample.Time);
                    Assert.Empty(result.Problems);
                    _ = Interlocked.Add(ref folded, result.Folded.Count);
                    _ = Interlocked.Add(ref removed, result.Removed.Count);
                }
            },
            TestContext.Current.CancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        var model = new MemoryModel(Sample.Unit);
        Guid parent = Guid.Empty;
        for (int k = 1; k <= Count || (!tidying.IsCompleted && !Tidied()); k++)
        {
            byte[] data = Sample.Noise(k, 2 * Sample.Unit);
            var run = new PfnRun(k % (StoreSample.Units - 1), 2);
            model.OnData(run, data);
            parent = StoreSample.Add(store, parent, (ulong)k, w => w.AddUnits(run, data)).Id;

            // Readers, too, find every state whole meanwhile.
            model.AssertSame(StoreSample.State(store, parent));
        }

        await done.CancelAsync();
        await tidying;
        _ = Retention.Apply(store, policy, Sample.Time, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(Tidied(), $"{folded} folded, {removed} removed beside the writer");
        Assert.Equal(7, store.Checkpoints.Count);
        Assert.Empty(Verifier.VerifyStore(store, cancellationToken: TestContext.Current.CancellationToken));
        Judge.Store(folder.Path);

        bool Tidied() => Volatile.Read(ref folded) > 0 && Volatile.Read(ref removed) > 0;
    }

    [Fact]
    public void Retention_keeps_what_it_says_and_every_state_of_it() => Prop.ForAll(
        Arb.From(
            from history in Histories
            from count in Gen.Choose(1, 5)
            from minutes in Gen.Elements(-1, 2, 4)
            from increments in Gen.Choose(0, 4)
            from pinned in Gen.Choose(0, 6)
            select (history, count, minutes, increments, pinned)),
        c =>
        {
            using var folder = new TemporaryFolder();
            using var store = DirectoryStore.Open(folder.Path);
            MemoryModel[] models = Write(store, c.history, out Guid[] ids);
            DateTimeOffset now = StoreSample.Closing((ulong)ids.Length - 1).Captured;
            var policy = new RetentionPolicy
            {
                KeepCount = c.count,
                KeepFor = c.minutes < 0 ? null : TimeSpan.FromMinutes(c.minutes),
                MaxIncrements = c.increments,
                MinGain = 0,
            };
            RetentionResult result = Retention.Apply(store, policy, now, m => m.Epoch == (ulong)c.pinned + 1);

            int[] kept = [.. Enumerable.Range(0, ids.Length).Where(i =>
                i == ids.Length - 1 || i == c.pinned
                || (ids.Length - i <= c.count && (c.minutes < 0 || ids.Length - 1 - i <= c.minutes)))];
            Assert.Equal(kept.Select(i => ids[i]), store.Checkpoints.Select(m => m.Id));
            Assert.Equal(ids.Length - kept.Length, result.Removed.Count);
            Assert.Empty(result.Problems);
            AssertStates(store, [.. kept.Select(i => ids[i])], [.. kept.Select(i => models[i])]);
            Assert.All(kept, i => Assert.InRange(
                Chain.Resolve(store, ids[i], Sample.Domain, ImageContent.Memory).Count, 1, c.increments + 1));
            Assert.Empty(Verifier.VerifyStore(store));
            Assert.Equal(kept.Length, Directory.GetDirectories(folder.Path).Length);
        }).Check(Properties.Quiet.WithMaxTest(60));

    [Fact]
    public void A_chain_that_cannot_be_folded_keeps_what_it_needs()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest[] all = Three(store);
        string damaged = store.PathOf(2, Part(store, all[1].Id).File);
        Flip(damaged, 200);
        RetentionResult result = Retention.Apply(store, new RetentionPolicy { KeepCount = 1, MinGain = 0 }, Sample.Time);
        Finding finding = Assert.Single(result.Problems);
        Assert.Equal(damaged, finding.File);
        Assert.Equal(3, store.Checkpoints.Count);
        Assert.Empty(result.Removed);
    }

    [Fact]
    public void Folding_drops_copies_that_do_not_count()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest a = StoreSample.Add(store, Guid.Empty, 1, w => w.AddZero(new PfnRun(0, 100)));
        CheckpointManifest b = StoreSample.Add(store, a.Id, 2, w =>
        {
            for (int i = 0; i < 200; i++)
            {
                w.AddUnits(new PfnRun(5, 2), Sample.Noise(i, 2 * Sample.Unit));
            }

            w.AddUnpopulated(new PfnRun(50, 50));
        });
        Assert.True(Folding.Fold(store, b.Id, Sample.Domain, ImageContent.Memory));
        ManifestPart part = Part(store, b.Id);
        using var reader = new ImageReader(store.OpenRead(2, part.File), part.File);
        ImageTotals totals = reader.ReadToEnd(new MemoryModel(Sample.Unit)).Totals;
        Assert.Equal((2, 48, 0), (totals.DataUnits, totals.ZeroUnits, totals.UnpopulatedUnits));
        Assert.True(reader.Header.Synthetic);
        Assert.Equal(StoreSample.Closing(2), reader.Trailer!.Closing);
    }

    [Fact]
    public void An_open_chain_does_not_notice_folds_and_removals()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        CheckpointManifest[] all = Three(store);
        MemoryModel expected = StoreSample.State(store, all[2].Id);
        using Chain chain = Chain.Open(store, all[2].Id, Sample.Domain, ImageContent.Memory);
        _ = Retention.Apply(store, new RetentionPolicy { KeepCount = 1, MinGain = 0 }, Sample.Time);
        var state = new MemoryModel(Sample.Unit);
        chain.Visit(state);
        expected.AssertSame(state);
        chain.Visit(new MemoryModel(Sample.Unit));
    }

    [Fact]
    public void Layers_of_a_directory_are_kept_lowest_first_and_disks_fold_like_memory()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        Guid parent = Guid.Empty;
        byte[][] layers = [Sample.Noise(1, 9000), [], Sample.Compressible(3, 200_000)];
        for (int i = 0; i < 3; i++)
        {
            using var draft = new CheckpointDraft(store, "node1");
            PartSpec disk = StoreSample.Memory(parent) with { Content = ImageContent.BlockDevice };
            ImageWriter block = draft.AddPart(disk with { Disk = new DiskInfo("xvda", (Sample.Unit * 128) - 7) });
            block.AddUnits(new PfnRun(i, 2), Sample.Noise(i, 2 * Sample.Unit));
            draft.AddPart(new PartSpec
            {
                DomainUuid = Sample.Domain,
                Content = ImageContent.Directory,
                ParentId = parent,
                Disk = new DiskInfo("shared", 0),
            }).AddLayer(new MemoryStream(layers[i]));
            parent = draft.Commit(StoreSample.Closing((ulong)i)).Id;
        }

        var before = new Layers();
        var after = new Layers();
        Visit(before);
        Assert.Equal(layers.Select(Convert.ToHexString), before.Content.Select(l => Convert.ToHexString(l.ToArray())));
        Assert.True(Folding.Fold(store, parent, Sample.Domain, ImageContent.Directory, "shared"));
        Assert.True(Folding.Fold(store, parent, Sample.Domain, ImageContent.BlockDevice, "xvda"));
        Visit(after);
        Assert.Equal(before.Names, after.Names);
        Assert.Equal(
            before.Content.Select(l => Convert.ToHexString(l.ToArray())),
            after.Content.Select(l => Convert.ToHexString(l.ToArray())));
        Assert.Equal([new DiskInfo("shared", 0), new DiskInfo("xvda", (Sample.Unit * 128) - 7)], after.Disks);
        before.Blocks.AssertSame(after.Blocks);
        Assert.Equal([0L, 1, 2, 3], after.Blocks.Units.Keys);
        Assert.Empty(Verifier.VerifyStore(store));

        void Visit(Layers layers)
        {
            using Chain directory = Chain.Open(store, parent, Sample.Domain, ImageContent.Directory, "shared");
            directory.Visit(layers);
            using Chain block = Chain.Open(store, parent, Sample.Domain, ImageContent.BlockDevice, "xvda");
            block.Visit(layers);
        }
    }

    [Fact]
    public void An_increment_of_what_is_not_there_is_refused()
    {
        using var folder = new TemporaryFolder();
        using var store = DirectoryStore.Open(folder.Path);
        using var draft = new CheckpointDraft(store, "node1");
        InvalidOperationException e = Assert.Throws<InvalidOperationException>(
            () => draft.AddPart(StoreSample.Memory(Guid.NewGuid())));
        Assert.Contains("is not in the store", e.Message, StringComparison.Ordinal);
    }

    internal static void Flip(string path, int offset)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[offset] ^= 0x10;
        File.WriteAllBytes(path, bytes);
    }

    internal static CheckpointManifest[] Three(ICheckpointStore store)
    {
        CheckpointManifest a = StoreSample.Add(store, Guid.Empty, 1);
        CheckpointManifest b = StoreSample.Add(store, a.Id, 2);
        return [a, b, StoreSample.Add(store, b.Id, 3)];
    }

    internal static ManifestPart Part(ICheckpointStore store, Guid id) =>
        store.Checkpoints.Single(m => m.Id == id).Find(Sample.Domain, ImageContent.Memory)!;

    private static MemoryModel[] Write(
        DirectoryStore store, (int Units, bool Full, Step[] Steps)[] history, out Guid[] ids)
    {
        var models = new List<MemoryModel>();
        var made = new List<Guid>();
        foreach ((int units, bool full, Step[] steps) in history)
        {
            bool first = made.Count == 0 || full;
            MemoryModel model = first ? new MemoryModel(Sample.Unit) : models[^1].Copy();
            model.Shrink(units);
            using var draft = new CheckpointDraft(store, "node1");
            ImageWriter writer = draft.AddPart(StoreSample.Memory(first ? Guid.Empty : made[^1], units: units));
            Array.ForEach(steps, s => s.Apply(writer, model));
            models.Add(model);
            made.Add(draft.Commit(StoreSample.Closing((ulong)made.Count)).Id);
        }

        ids = [.. made];
        return [.. models];
    }

    private static void AssertStates(ICheckpointStore store, Guid[] ids, MemoryModel[] models)
    {
        for (int i = 0; i < ids.Length; i++)
        {
            models[i].AssertSame(StoreSample.State(store, ids[i]));
        }
    }

    private sealed class Layers : ImageVisitor
    {
        internal List<string> Names { get; } = [];

        internal List<MemoryStream> Content { get; } = [];

        internal List<DiskInfo> Disks { get; } = [];

        internal MemoryModel Blocks { get; } = new(Sample.Unit);

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (Names.Count == 0 || Names[^1] != name)
            {
                Names.Add(name);
                Content.Add(new MemoryStream());
            }

            Content[^1].Write(part);
        }

        public override void OnDisk(DiskInfo disk) => Disks.Add(disk);

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data) => Blocks.OnData(run, data);
    }
}
