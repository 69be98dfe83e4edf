using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Tests.Files;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class RetentionTests
{
    private const string Root = "/store";

    // A guest that writes the same pages again and again, one that goes round through its memory, and one that writes anywhere.
    public static TheoryData<string, int> Loads => new()
    {
        { "hot", 6 }, { "sweep", 6 }, { "random", 6 }, { "hot", 24 }, { "random", 24 },
    };

    [Theory]
    [MemberData(nameof(Loads))]
    public void What_is_written_and_kept_is_bounded_by_what_the_guests_write(string load, int pages)
    {
        const int Count = 200, Units = 256;
        var files = new LosingFiles();
        using var store = DirectoryStore.Open(Root, files);
        var policy = new RetentionPolicy();
        var guest = new Guest(load, Units, pages);
        long taken = 0, written = 0, first = 0, mostKept = 0;
        double mostStore = 0, mostRead = 0;
        Guid parent = Guid.Empty;
        for (int k = 1; k <= Count; k++)
        {
            long before = files.Written;
            parent = guest.Take(store, parent, (ulong)k);
            taken += files.Written - before;
            first = k == 1 ? taken : first;
            before = files.Written;
            RetentionResult result = Retention.Apply(
                store, policy, Sample.Time, cancellationToken: TestContext.Current.CancellationToken);
            written += files.Written - before;
            Assert.Empty(result.Problems);
            Assert.Empty(result.Undone);
            long kept = store.Checkpoints.TakeLast(policy.KeepCount).Sum(RetentionPlan.SizeOf);
            mostKept = Math.Max(mostKept, kept);
            mostStore = Math.Max(mostStore, files.Used - kept);
            mostRead = Math.Max(
                mostRead,
                Chain.Resolve(store, parent, Sample.Domain, ImageContent.Memory).Sum(l => l.Part.Length) - kept);
        }

        double amplification = (double)(taken + written) / taken;
        string what = $"{load}, {pages}: {amplification:F3}, {mostStore / first:F2}, {mostRead / first:F2}";
        Assert.True(amplification <= 1.3, what);

        // Five full images, and what came since the last look.
        Assert.True(mostStore <= 5.5 * first, what);
        Assert.True(mostRead <= 5.5 * first, what);
        AssertStates(store, guest.States);
    }

    [Fact]
    public void Checkpoints_that_others_build_upon_stay_and_are_marked()
    {
        using var folder = new TemporaryFolder();
        var guest = new Guest("random", 256, 6);
        using (var store = DirectoryStore.Open(folder.Path))
        {
            Guid parent = Guid.Empty;
            for (ulong k = 1; k <= 20; k++)
            {
                parent = guest.Take(store, parent, k);
            }

            RetentionResult result = Apply(store, new RetentionPolicy());
            Assert.Empty(result.Removed);
            AssertMarked(store, 4);

            // They are kept again by an operator who asks for more.
            _ = Apply(store, new RetentionPolicy { KeepCount = 18 });
            AssertMarked(store, 2);
        }

        using (var reader = DirectoryStore.OpenReadOnly(folder.Path))
        {
            AssertMarked(reader, 2);
        }

        using var again = DirectoryStore.Open(folder.Path);
        AssertMarked(again, 2);
        AssertStates(again, guest.States);
        Assert.Equal(4, Apply(again, new RetentionPolicy { MinGain = 0 }).Removed.Count);
        AssertMarked(again, 0);
        AssertStates(again, guest.States);

        static void AssertMarked(DirectoryStore store, int count) => Assert.Equal(
            store.Checkpoints.Select(m => m.Epoch).Take(count),
            store.Checkpoints.Where(m => store.IsExpendable(m.Epoch)).Select(m => m.Epoch));
    }

    [Fact]
    public void A_chain_is_not_longer_than_the_operator_allows()
    {
        using var store = DirectoryStore.Open(Root, new LosingFiles());
        var guest = new Guest("sweep", 256, 1);
        var policy = new RetentionPolicy { KeepCount = 4, MaxIncrements = 20 };
        Guid parent = Guid.Empty;
        for (ulong k = 1; k <= 60; k++)
        {
            parent = guest.Take(store, parent, k);
            _ = Apply(store, policy);
            Assert.InRange(Chain.Resolve(store, parent, Sample.Domain, ImageContent.Memory).Count, 1, 21);
        }

        AssertStates(store, guest.States);
    }

    // Guests that come and go, full images in between, numbers of pages that change; the machine dies at some call.
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Every_kept_checkpoint_restores_whatever_happened(int seed)
    {
        var random = new Random(seed);
        var files = new LosingFiles();
        var store = DirectoryStore.Open(Root, files);
        var states = new Dictionary<Guid, MemoryModel[]>();
        MemoryModel[] models = [new(Sample.Unit), new(Sample.Unit)];
        Guid parent = Guid.Empty;
        for (ulong k = 1; k <= 40; k++)
        {
            int units = random.Next(8) == 0 ? 24 : 32;
            bool full = random.Next(12) == 0 || k == 1;
            using (var draft = new CheckpointDraft(store, "node1"))
            {
                models = [.. models.Select(m => m.Copy())];
                for (int d = 0; d < 2; d++)
                {
                    Guid upon = full && (k == 1 || random.Next(2) == 0) ? Guid.Empty : parent;
                    models[d] = upon == Guid.Empty ? new MemoryModel(Sample.Unit) : models[d];
                    models[d].Shrink(units);
                    ImageWriter writer = draft.AddPart(
                        StoreSample.Memory(upon, d == 0 ? Sample.Domain : StoreSample.Other, units));
                    for (int i = random.Next(6); i >= 0; i--)
                    {
                        int page = random.Next(3) == 0 ? random.Next(units) : random.Next(4);
                        new Step(new PfnRun(page, 1), random.Next(6), random.Next()).Apply(writer, models[d]);
                    }
                }

                parent = draft.Commit(StoreSample.Closing(k)).Id;
                states[parent] = models;
            }

            ulong pinned = (ulong)random.Next(1, 41);
            var policy = new RetentionPolicy
            {
                KeepCount = 4,
                MinGain = random.Next(4) * 2,
                MaxIncrements = random.Next(3) == 0 ? 6 : 512,
            };
            files.DiesAt = random.Next(2) == 0 ? files.Calls + random.Next(1, 60) : null;
            HashSet<Guid> kept = [.. store.Checkpoints.TakeLast(4).Select(m => m.Id)];
            try
            {
                Assert.Empty(Retention.Apply(
                    store, policy, Sample.Time, m => m.Epoch == pinned, TestContext.Current.CancellationToken).Problems);
            }
            catch (IOException)
            {
            }

            if (files.DiesAt is not null)
            {
                store.Dispose();
                files = files.Crash(_ => random.Next(2) == 0);
                store = DirectoryStore.Open(Root, files);
            }

            Assert.Empty(store.Problems);
            Assert.Subset(store.Checkpoints.Select(m => m.Id).ToHashSet(), kept);
            foreach (CheckpointManifest manifest in store.Checkpoints)
            {
                states[manifest.Id][0].AssertSame(StoreSample.State(store, manifest.Id));
                states[manifest.Id][1].AssertSame(StoreSample.State(store, manifest.Id, StoreSample.Other));
            }
        }

        Assert.Empty(Verifier.VerifyStore(store, cancellationToken: TestContext.Current.CancellationToken));
        store.Dispose();
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 24)];

    // Devices, whose last block is cut, and which grow and shrink: no merge may guess what became of it.
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Devices_are_merged_where_their_length_stays(int seed)
    {
        var random = new Random(seed);
        using var store = DirectoryStore.Open(Root, new LosingFiles());
        var states = new List<(Guid Id, MemoryModel State)>();
        long length = (8 * 512) - 100;
        for (ulong k = 1; k <= 12; k++)
        {
            Guid parent = k == 1 ? Guid.Empty : states[^1].Id;
            length = random.Next(6) == 0 ? (random.Next(5, 9) * 512) - random.Next(300) : length;
            int units = (int)((length + 511) / 512);
            using var draft = new CheckpointDraft(store, "node1");
            ImageWriter writer = draft.AddPart(StoreSample.Memory(parent, units: units) with
            {
                Content = ImageContent.BlockDevice,
                UnitSize = 512,
                Disk = new DiskInfo("xvda", length),
            });
            for (int block = 0; block < units; block++)
            {
                if (random.Next(3) == 0)
                {
                    byte[] data = Sample.Noise(random.Next(), 512);
                    data.AsSpan((int)Math.Min(512, length - (block * 512))).Clear();
                    writer.AddUnits(new PfnRun(block, 1), data);
                }
            }

            Guid id = draft.Commit(StoreSample.Closing(k)).Id;
            states.Add((id, State(store, id)));
            _ = Apply(store, new RetentionPolicy { KeepCount = 5, MinGain = random.Next(2) });
            foreach ((Guid there, MemoryModel state) in states.Where(s => store.Checkpoints.Any(m => m.Id == s.Id)))
            {
                state.AssertSame(State(store, there));
            }
        }

        static MemoryModel State(DirectoryStore store, Guid id)
        {
            var state = new MemoryModel(512);
            using Chain chain = Chain.Open(store, id, Sample.Domain, ImageContent.BlockDevice, "xvda");
            chain.Visit(state);
            return state;
        }
    }

    internal static RetentionResult Apply(ICheckpointStore store, RetentionPolicy policy) => Retention.Apply(
        store, policy, Sample.Time, cancellationToken: TestContext.Current.CancellationToken);

    private static void AssertStates(DirectoryStore store, Dictionary<Guid, MemoryModel> states)
    {
        Assert.Empty(Verifier.VerifyStore(store));
        foreach (CheckpointManifest manifest in store.Checkpoints)
        {
            states[manifest.Id].AssertSame(StoreSample.State(store, manifest.Id));
        }
    }

    /// <summary>A guest whose pages are noise; each checkpoint has as many of them anew.</summary>
    internal sealed class Guest(string load, int units, int pages)
    {
        private readonly Random _random = new(7);
        private MemoryModel _model = new(Sample.Unit);
        private int _next;

        internal Dictionary<Guid, MemoryModel> States { get; } = [];

        internal Guid Take(ICheckpointStore store, Guid parent, ulong index)
        {
            _model = _model.Copy();
            using var draft = new CheckpointDraft(store, "node1");
            ImageWriter writer = draft.AddPart(StoreSample.Memory(parent, units: units));
            for (int i = 0; i < (parent == Guid.Empty ? units : pages); i++)
            {
                int page = parent == Guid.Empty ? i : load switch
                {
                    "hot" => i,
                    "sweep" => _next++ % units,
                    _ => _random.Next(units),
                };
                byte[] data = Sample.Noise(_random.Next(), Sample.Unit);
                writer.AddUnits(new PfnRun(page, 1), data);
                _model.OnData(new PfnRun(page, 1), data);
            }

            Guid id = draft.Commit(StoreSample.Closing(index)).Id;
            States[id] = _model;
            return id;
        }
    }
}
