using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>What the dirty-page cache saves, by the writer's pattern and the cache's size: pages copied while the guest is
/// suspended, and pages written in all, as ratios to those without a cache. Deterministic: no time is measured.</summary>
internal static class CacheBenchmark
{
    private const int Pages = 4096;
    private const int Samples = 40;
    private const int StepsPerSample = 8;
    private const int WritesPerStep = 64;
    private const int Epochs = 5;

    internal static void Run(BenchmarkOutput output)
    {
        output.Header("pattern", "entries", "window pages", "window ratio", "written pages", "written ratio", "in vain");
        foreach (AccessPattern pattern in Enum.GetValues<AccessPattern>())
        {
            (long Window, long Written, long Vain) baseline = Measure(pattern, null);
            foreach (int entries in new[] { 64, 256, 512, 590, 768, 1024, 2048, 4096 })
            {
                (long window, long written, long vain) = Measure(pattern, entries);
                output.Row(
                    $"{pattern}", entries, window, (double)window / baseline.Window, written,
                    (double)written / baseline.Written, vain);
            }
        }
    }

    // Without a cache the log is read once, when the guest is suspended.
    private static (long Window, long Written, long Vain) Measure(AccessPattern pattern, int? entries)
    {
        using var hypervisor = new ModelHypervisor();
        ModelGuest guest = hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = "g",
            MemoryPages = Pages + 64,
            DiskBlocks = 0,
            Workload = new WriterWorkload(pattern, seed: 1, pages: Pages, writesPerStep: WritesPerStep),
        });
        using IDomain domain = hypervisor.OpenDomain(guest.Uuid);
        using var batch = new CopyBatch(new CopyRate());
        using var staging = new StagingArea(Pages + 1024);
        using var capture = new MemoryCapture(domain, new DirtyPageCache(entries ?? Pages), batch);
        long window = 0, written = 0, vain = 0;
        for (int epoch = 0; epoch <= Epochs; epoch++)
        {
            using ImageWriter writer = Writers.ToNowhere(capture.PfnCount, full: epoch == 0);
            capture.BeginEpoch(writer, full: epoch == 0);
            while (capture.FeedLeft > 0)
            {
                _ = capture.Feed(4096);
            }

            for (int sample = 0; sample < Samples; sample++)
            {
                guest.Step(StepsPerSample);
                if (entries is not null)
                {
                    _ = capture.Sample();
                }
            }

            domain.SuspendAsync(TimeSpan.FromMinutes(1)).GetAwaiter().GetResult();
            staging.Clear();
            capture.Collect(staging, compareTypes: false);
            domain.Resume();
            capture.Confirm();
            capture.WriteResidual(staging);
            if (epoch > 0)
            {
                window += capture.Statistics.Residual;
                written += capture.Statistics.Copied;
                vain += capture.Statistics.InVain;
            }
        }

        return (window, written, vain);
    }
}
