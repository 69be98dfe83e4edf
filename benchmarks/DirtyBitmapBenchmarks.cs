using BenchmarkDotNet.Attributes;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Benchmarks;

/// <summary>Runs of dirty pages out of a bitmap of a 128 MiB PVH guest: 1,044,480 PFNs, of which few are dirty.</summary>
[MemoryDiagnoser]
public class DirtyBitmapBenchmarks
{
    private const long PfnCount = 1_044_480;
    private readonly ulong[] _words = new ulong[DirtyBitmap.WordsFor(PfnCount)];

    [Params(200, 2_000, 20_000)]
    public int DirtyPages { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        var random = new Random(1);
        Array.Clear(_words);
        for (int i = 0; i < DirtyPages; i++)
        {
            int pfn = random.Next(32_768);
            _words[pfn >> 6] |= 1UL << (pfn & 63);
        }
    }

    [Benchmark(Baseline = true)]
    public long BitByBit()
    {
        long sum = 0, first = -1;
        for (long pfn = 0; pfn <= PfnCount; pfn++)
        {
            bool dirty = pfn < PfnCount && (_words[pfn >> 6] & (1UL << (int)(pfn & 63))) != 0;
            if (dirty && first < 0)
            {
                first = pfn;
            }
            else if (!dirty && first >= 0)
            {
                sum += pfn - first;
                first = -1;
            }
        }

        return sum;
    }

    [Benchmark]
    public long Runs()
    {
        long sum = 0;
        foreach (PfnRun run in new DirtyBitmap(_words, PfnCount).EnumerateRuns())
        {
            sum += run.Count;
        }

        return sum;
    }
}
