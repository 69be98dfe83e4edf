using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>What the store costs beside the increments themselves: all octets written after the first checkpoint over those of
/// the increments of memory, the store's size and the images that a restore reads over the full image. 200 checkpoints of one
/// guest, with the defaults, and with each checkpoint that is not kept removed at once.</summary>
internal static class StoreBenchmark
{
    private const int Checkpoints = 200;
    private const int Pages = 8192;

    internal static async Task RunAsync(BenchmarkOutput output)
    {
        output.Header("load", "retention", "written", "store", "beyond kept", "read", "merged", "folded", "most images");
        foreach (string load in new[] { "hot 2%", "drifting 2%", "anywhere 2%", "round 2%", "hot 0.1%", "round 0.5%" })
        {
            await MeasureAsync(output, load, "defaults", new RetentionPolicy()).ConfigureAwait(false);
        }

        await MeasureAsync(output, "hot 2%", "at once", new RetentionPolicy { MinGain = 0, MaxIncrements = 8 }).ConfigureAwait(false);
    }

    private static async Task MeasureAsync(BenchmarkOutput output, string load, string name, RetentionPolicy policy)
    {
        string folder = Directory.CreateTempSubdirectory("xtl-bench-").FullName;
        try
        {
            var files = new CountingFiles();
            using DirectoryStore store = DirectoryStore.Open(Path.Combine(folder, "store"), files);
            using var hypervisor = new ModelHypervisor();
            var guest = new Guest(hypervisor, load);
            var node = new NodeCheckpointer(
                hypervisor, store, new NoDisks(), new NodeOptions { StateDirectory = Path.Combine(folder, "state") });
            long first = 0, start = 0, increments = 0, beyond = 0, size = 0, read = 0;
            int merged = 0, folded = 0, images = 0;
            await using (node.ConfigureAwait(false))
            {
                for (ulong k = 1; k <= Checkpoints; k++)
                {
                    guest.Write();
                    CheckpointReport report = await node.CheckpointAsync(k).ConfigureAwait(false);
                    long taken = store.Checkpoints[^1].Find(guest.Uuid, ImageContent.Memory)!.Length;
                    increments += k == 1 ? 0 : taken;
                    (first, start) = k == 1 ? (taken, files.Written) : (first, start);
                    RetentionResult result = Retention.Apply(store, policy, DateTimeOffset.UtcNow);
                    merged += result.Merged.Count;
                    folded += result.Folded.Count;
                    IReadOnlyList<ChainLink> chain = Chain.Resolve(store, report.Id, guest.Uuid, ImageContent.Memory);
                    images = Math.Max(images, chain.Count);
                    read = Math.Max(read, chain.Sum(l => l.Part.Length));
                    size = Math.Max(size, store.Checkpoints.Sum(Size));
                    beyond = Math.Max(beyond, store.Checkpoints.SkipLast(policy.KeepCount).Sum(Size));
                }
            }

            output.Row(
                load, name, (double)(files.Written - start) / increments, (double)size / first, (double)beyond / first,
                (double)read / first, merged, folded, images);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static long Size(CheckpointManifest manifest) => manifest.Domains.Sum(d => d.Parts.Sum(p => p.Length));

    /// <summary>A guest that writes a share of its pages between two checkpoints: always the same, the same for a while, any, or
    /// one after the other.</summary>
    private sealed class Guest
    {
        private readonly ModelGuest _guest;
        private readonly byte[] _contents = BenchmarkMemory.Programs(Pages * 4096 * 2);
        private readonly Random _random = new(3);
        private readonly string _kind;
        private readonly int _count;
        private int _round;

        internal Guest(ModelHypervisor hypervisor, string load)
        {
            _guest = hypervisor.CreateDomain(new ModelDomainOptions { Name = "g", MemoryPages = Pages, DiskBlocks = 0 });
            _kind = load.Split(' ')[0];
            _count = (int)(double.Parse(load.Split(' ')[1].TrimEnd('%'), CultureInfo.InvariantCulture) / 100 * Pages);
            for (int pfn = 0; pfn < Pages; pfn++)
            {
                Put(pfn);
            }
        }

        internal Guid Uuid => _guest.Uuid;

        internal void Write()
        {
            for (int i = 0; i < _count; i++)
            {
                Put(_kind switch
                {
                    "hot" => i * 7,
                    "drifting" => (i + (_round / 10 * (_count / 4))) % Pages,
                    "anywhere" => _random.Next(Pages),
                    _ => ((_round * _count) + i) % Pages,
                });
            }

            _round++;
        }

        private void Put(int pfn)
        {
            int from = _random.Next(Pages) * 4096;
            using WritableMapping mapping = _guest.Map(pfn, MappingOwner.Backend);
            mapping.Write(0, _contents.AsSpan(from, 4096));
        }
    }
}
