using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Benchmarks.Node;

/// <summary>The copy in the window against a plain copy of the same bytes; saving in the background against LZ4 on one core
/// times the cores; and whether anything is allocated for a page. The thread that adds pages compresses, too, so that a core
/// is a thread: as many as there are cores, that one included. By CPU time: what LZ4 alone takes of the processors over what all
/// of the pipeline's threads take, which other work on the machine leaves as it is. And against as many threads of LZ4 alone as
/// the pipeline has.</summary>
internal static class CaptureBenchmark
{
    private const int Rounds = 9;

    internal static void Run(BenchmarkOutput output)
    {
        output.Header("what", "pages", "ours MiB/s", "peer MiB/s", "ratio", "by CPU time", "LZ4 threads", "allocated");
        foreach (int pages in new[] { 4096, 16384 })
        {
            Window(output, pages);
        }

        foreach (int cores in new[] { 1, Environment.ProcessorCount }.Distinct())
        {
            Background(output, "programs", BenchmarkMemory.Programs, 32768, cores);
            Background(output, "half random", BenchmarkMemory.HalfRandom, 32768, cores);
        }
    }

    private static void Window(BenchmarkOutput output, int pages)
    {
        using var node = new OneGuest(pages);
        using var plain = new AnonymousMapping((long)pages * 4096);
        using var target = new AnonymousMapping((long)pages * 4096);
        FillRandom(plain, pages);
        FillRandom(target, pages);
        var ours = new List<double>();
        var peer = new List<double>();
        long allocated = 0;
        for (int round = 0; round < Rounds; round++)
        {
            node.DirtyAll();
            (double seconds, allocated) = node.CollectSeconds();
            ours.Add(seconds);
            long start = Stopwatch.GetTimestamp();
            plain.Span(0, pages * 4096).CopyTo(target.Span(0, pages * 4096));
            peer.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        Report(output, "window copy : memcpy", pages, Median(ours), Median(peer), double.NaN, allocated);
    }

    private static void Background(
        BenchmarkOutput output, string what, Func<int, byte[]> make, int pages, int cores)
    {
        using var data = new AnonymousMapping((long)pages * 4096);
        make(pages * 4096).CopyTo(data.Span(0, pages * 4096));
        byte[][] compressed = [.. Enumerable.Range(0, cores).Select(_ => new byte[Lz4.MaxCompressedLength(1 << 20)])];
        var together = new List<double>();
        var ours = new List<double>();
        var peer = new List<double>();
        var oursBusy = new List<double>();
        var peerBusy = new List<double>();
        long allocated = 0;
        for (int round = 0; round < 5; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            TimeSpan busy = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            using (ImageWriter writer = Writers.ToNowhere(
                pages, full: true, new ImageWriterOptions { CompressionThreads = cores - 1 }))
            {
                for (int first = 0; first < pages; first += 1024)
                {
                    writer.AddUnits(new PfnRun(first, 1024), data.Span((long)first * 4096, 1024 * 4096));
                }

                _ = writer.Complete(new CheckpointClosing(1, DateTimeOffset.UnixEpoch));
            }

            ours.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            oursBusy.Add((Environment.CpuUsage.TotalTime - busy).TotalSeconds);
            allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
            busy = Environment.CpuUsage.TotalTime;
            start = Stopwatch.GetTimestamp();
            CompressPart(data, 0, pages, compressed[0]);
            peer.Add(Stopwatch.GetElapsedTime(start).TotalSeconds / cores);
            peerBusy.Add((Environment.CpuUsage.TotalTime - busy).TotalSeconds);

            // What the cores have in common, LZ4 alone has to share, too.
            start = Stopwatch.GetTimestamp();
            Thread[] parts = [.. compressed.Select((buffer, i) => new Thread(
                () => CompressPart(data, i * (pages / cores), pages / cores, buffer)))];
            Array.ForEach(parts, t => t.Start());
            Array.ForEach(parts, t => t.Join());
            together.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        Report(
            output, $"background, {what} : LZ4 x {cores} cores", pages, Median(ours), Median(peer),
            Median(peerBusy) / Median(oursBusy), allocated, Median(together));
    }

    private static void CompressPart(AnonymousMapping data, int from, int pages, byte[] buffer)
    {
        for (int first = from; first < from + pages; first += 256)
        {
            _ = Lz4.Compress(data.Span((long)first * 4096, 256 * 4096), buffer);
        }
    }

    private static void Report(
        BenchmarkOutput output, string what, int pages, double ours, double peer, double byCpuTime, long allocated,
        double together = double.NaN) =>
        output.Row(
            what, pages, pages / 256.0 / ours, pages / 256.0 / peer, peer / ours,
            double.IsNaN(byCpuTime) ? "-" : byCpuTime, double.IsNaN(together) ? "-" : together / ours, allocated);

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static void FillRandom(AnonymousMapping memory, int pages) =>
        new Random(1).NextBytes(memory.Span(0, pages * 4096));

    /// <summary>A guest all of whose pages can be made dirty, and its capture.</summary>
    private sealed class OneGuest : IDisposable
    {
        private readonly ModelHypervisor _hypervisor = new();
        private readonly ModelGuest _guest;
        private readonly IDomain _domain;
        private readonly CopyBatch _batch = new(new CopyRate());
        private readonly StagingArea _staging;
        private readonly MemoryCapture _capture;
        private readonly int _pages;

        internal OneGuest(int pages)
        {
            _pages = pages;
            _guest = _hypervisor.CreateDomain(new ModelDomainOptions { Name = "g", MemoryPages = pages, DiskBlocks = 0 });
            var random = new Random(2);
            byte[] page = new byte[4096];
            for (long pfn = 0; pfn < pages; pfn++)
            {
                random.NextBytes(page);
                using WritableMapping mapping = _guest.Map(pfn, MappingOwner.Backend);
                mapping.Write(0, page);
            }

            _domain = _hypervisor.OpenDomain(_guest.Uuid);
            _staging = new StagingArea(pages + 64);
            _capture = new MemoryCapture(_domain, new DirtyPageCache(1024), _batch);
        }

        internal void DirtyAll()
        {
            using ImageWriter writer = Writers.ToNowhere(_capture.PfnCount, full: true);
            _capture.BeginEpoch(writer, full: true);
            while (_capture.FeedLeft > 0)
            {
                _ = _capture.Feed(4096);
            }

            for (long pfn = 0; pfn < _pages; pfn++)
            {
                _guest.Map(pfn, MappingOwner.Backend).Dispose();
            }
        }

        internal (double Seconds, long Allocated) CollectSeconds()
        {
            _domain.SuspendAsync(TimeSpan.FromMinutes(1)).GetAwaiter().GetResult();
            _staging.Clear();
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            _capture.Collect(_staging, compareTypes: false);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            _domain.Resume();
            return (seconds, allocated);
        }

        public void Dispose()
        {
            _capture.Dispose();
            _staging.Dispose();
            _batch.Dispose();
            _domain.Dispose();
            _hypervisor.Dispose();
        }
    }
}
