using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Fills stores with checkpoints of one or two domains.</summary>
internal static class StoreSample
{
    internal const int Units = 128;

    internal static readonly Guid Other = Guid.Parse("7b3c1c52-1111-4222-8333-5d2f1b7a9e02");

    internal static PartSpec Memory(Guid parent, Guid? domain = null, long units = Units) => new()
    {
        DomainUuid = domain ?? Sample.Domain,
        DomainName = "guest",
        Content = ImageContent.Memory,
        ParentId = parent,
        UnitSize = Sample.Unit,
        UnitCount = units,
        Options = new ImageWriterOptions { BatchSize = 8 * Sample.Unit, CompressionThreads = 0 },
    };

    /// <summary>A checkpoint with registers and memory of a domain, and memory of another.</summary>
    internal static CheckpointManifest Add(
        ICheckpointStore store, Guid parent, ulong index, Action<ImageWriter>? fill = null)
    {
        using var draft = new CheckpointDraft(store, "node1");
        Fill(draft, parent, fill ?? (w => w.AddUnits(new PfnRun((long)index, 2), Sample.Noise((int)index, 2 * Sample.Unit))));
        return draft.Commit(Closing(index));
    }

    internal static void Fill(CheckpointDraft draft, Guid parent, Action<ImageWriter> fill)
    {
        fill(draft.AddPart(Memory(parent)));
        draft.AddPart(new PartSpec { DomainUuid = Sample.Domain, Content = ImageContent.Registers })
            .AddBlob("hvm-context", Sample.Noise(1, 300));
        draft.AddPart(Memory(parent, Other)).AddUnits(new PfnRun(1, 1), Sample.Compressible(1, Sample.Unit));
    }

    internal static CheckpointClosing Closing(ulong index) =>
        new(index, Sample.Time.AddMinutes(index), $"k{index}");

    internal static MemoryModel State(ICheckpointStore store, Guid checkpoint, Guid? domain = null)
    {
        var state = new Once();
        using Chain chain = Chain.Open(store, checkpoint, domain ?? Sample.Domain, ImageContent.Memory);
        chain.Visit(state);
        return state.Model;
    }

    /// <summary>Every file below a folder, with its bytes.</summary>
    internal static SortedDictionary<string, string> Snapshot(string root) => new(
        Directory.GetFiles(root, "*", SearchOption.AllDirectories)
            .Where(f => Path.GetFileName(f) != DirectoryStore.LockName)
            .ToDictionary(f => f, f => Convert.ToHexString(File.ReadAllBytes(f))),
        StringComparer.Ordinal);

    // A state shows every unit once.
    private sealed class Once : ImageVisitor
    {
        private readonly HashSet<long> _seen = [];

        internal MemoryModel Model { get; } = new(Sample.Unit);

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            See(run);
            Model.OnData(run, data);
        }

        public override void OnZero(PfnRun run)
        {
            See(run);
            Model.OnZero(run);
        }

        public override void OnUnpopulated(PfnRun run) => Assert.Fail("a state names no unit that does not exist");

        private void See(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                Assert.True(_seen.Add(pfn), $"unit {pfn} came twice");
            }
        }
    }
}
