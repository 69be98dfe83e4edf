using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>Checkpoints of many domains, and of one large one: the pause against that of one domain, and the memory of the
/// process beyond the guests, the staging area and the caches.</summary>
internal static class ScaleBenchmark
{
    private const int StagingPages = 16384;

    internal static async Task RunAsync(BenchmarkOutput output)
    {
        output.Header("domains", "GiB each", "pause ms", "pause ratio", "memory MiB", "beyond MiB");
        double one = 0;
        foreach (int domains in new[] { 1, 8, 64 })
        {
            (double pause, double memory, double beyond) = await MeasureAsync(domains, 8192).ConfigureAwait(false);
            one = domains == 1 ? pause : one;
            output.Row(domains, 8192 / 262144.0, pause, pause / one, memory, beyond);
        }

        (double largePause, double largeMemory, double largeBeyond) =
            await MeasureAsync(1, 64L << 30 >> 12).ConfigureAwait(false);
        output.Row(1, 64.0, largePause, largePause / one, largeMemory, largeBeyond);
    }

    private static async Task<(double Pause, double Memory, double Beyond)> MeasureAsync(int domains, long pages)
    {
        string folder = Directory.CreateTempSubdirectory("xtl-bench-").FullName;
        try
        {
            using var hypervisor = new ModelHypervisor();
            for (int i = 0; i < domains; i++)
            {
                _ = hypervisor.CreateDomain(new ModelDomainOptions
                {
                    Name = $"g{i}",
                    MemoryPages = pages,
                    DiskBlocks = 0,
                    Workload = new StepperWorkload((ulong)i + 1, 512, 16),
                });
            }

            using DirectoryStore store = DirectoryStore.Open(Path.Combine(folder, "store"));
            GC.Collect();
            long before = ResidentKiB();
            var node = new NodeCheckpointer(
                hypervisor, store, new NoDisks(),
                new NodeOptions { StateDirectory = Path.Combine(folder, "state"), StagingPages = StagingPages });
            double pause = 0;
            long peak = 0;
            await using (node.ConfigureAwait(false))
            {
                for (ulong k = 1; k <= 3; k++)
                {
                    hypervisor.Advance(20);
                    CheckpointReport report = await node.CheckpointAsync(k).ConfigureAwait(false);
                    pause = report.Pause.TotalMilliseconds;
                    peak = Math.Max(peak, ResidentKiB());
                }
            }

            double memory = (peak - before) / 1024.0;

            // The staging area is resident; a cache's entries take 16 bytes each.
            double known = (StagingPages * 4096.0 / (1 << 20)) + (domains * StagingPages * 16.0 / (1 << 20));
            return (pause, memory, memory - known);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // Anonymous memory only: the runtime's own files are mapped, too.
    private static long ResidentKiB() => long.Parse(
        File.ReadLines("/proc/self/status").First(l => l.StartsWith("RssAnon:", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);
}
