using System.Numerics;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

public sealed class WriterTests : IDisposable
{
    private const int Pages = 1000;
    private const int FirstPfn = 17;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly ModelHypervisor _model = new();

    public void Dispose() => _model.Dispose();

    [Fact]
    public void Sequential_writes_go_round()
    {
        long[] counts = Count(AccessPattern.Sequential, steps: 2 * Pages);
        Assert.All(counts, static count => Assert.Equal(2, count));
    }

    [Fact]
    public void Uniform_writes_reach_all_pages_alike()
    {
        long[] counts = Count(AccessPattern.Uniform, steps: 100_000);
        // Mean 100, standard deviation 10.
        Assert.All(counts, static count => Assert.InRange(count, 40, 160));
    }

    [Fact]
    public void Nine_writes_of_ten_go_to_the_hot_tenth()
    {
        long[] counts = Count(AccessPattern.HotSet, steps: 100_000);
        Assert.InRange(counts.Take(Pages / 10).Sum(), 89_000, 91_000);
        Assert.All(counts, static count => Assert.True(count > 0));
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.99)]
    [InlineData(1.0)]
    [InlineData(1.5)]
    public void Zipf_ranks_follow_the_law(double exponent)
    {
        const int Samples = 1_000_000;
        var sampler = new ZipfSampler(Pages, exponent);
        ulong generator = 42;
        var counts = new long[Pages + 1];
        for (int i = 0; i < Samples; i++)
        {
            counts[sampler.Next(ref generator)]++;
        }

        double sum = Enumerable.Range(1, Pages).Sum(rank => Math.Pow(rank, -exponent));
        foreach (int rank in (int[])[1, 2, 3, 4, 10, 100])
        {
            double expected = Samples * Math.Pow(rank, -exponent) / sum;
            Assert.InRange(Math.Abs(counts[rank] - expected), 0, 5 * Math.Sqrt(expected));
        }
    }

    [Fact]
    public void Zipf_writes_hit_a_few_pages_most()
    {
        long[] counts = Count(AccessPattern.Zipf, steps: 100_000);
        // The ten best ranks of a thousand have 39% of the weight at s = 0.99.
        Assert.InRange(counts.OrderDescending().Take(10).Sum(), 37_000, 50_000);
        Assert.Equal(100_000, counts.Sum());
    }

    [Theory]
    [InlineData(AccessPattern.Uniform)]
    [InlineData(AccessPattern.HotSet)]
    [InlineData(AccessPattern.Zipf)]
    [InlineData(AccessPattern.Sequential)]
    public void Steps_allocate_nothing(AccessPattern pattern)
    {
        ModelGuest guest = Create("guest", pattern, writesPerStep: 64);
        using IDomain domain = _model.OpenDomain(guest.Uuid);
        using IDirtyLog log = domain.StartDirtyLog();
        long least = long.MaxValue;
        // The first rounds pay for one-time initialisation; an allocation per write shows in every round.
        for (int round = 0; round < 5; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            guest.Step(100);
            log.Clean();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
        Assert.Equal(500 * 64, WriterWorkload.WritesOf(guest.View));
    }

    [Fact]
    public void A_buffer_across_the_device_hole_is_refused() =>
        Assert.Throws<ArgumentException>(() => _model.CreateDomain(new ModelDomainOptions
        {
            Name = "large",
            MemoryPages = 8L << 30 >> 12,
            Workload = new WriterWorkload(pages: 2_000_000),
        }));

    [Fact]
    public void A_thread_runs_the_guest_until_it_is_stopped()
    {
        ModelGuest guest = Create("guest", AccessPattern.Uniform, writesPerStep: 8);
        guest.Start();
        Assert.Throws<InvalidOperationException>(() => guest.Start());
        Assert.True(SpinWait.SpinUntil(() => guest.Steps > 100, Patience));
        guest.Stop();
        long steps = guest.Steps;
        Thread.Sleep(10);
        Assert.Equal(steps, guest.Steps);
        guest.Start(stepsPerSecond: 1000);
        Assert.True(SpinWait.SpinUntil(() => guest.Steps > steps + 10, Patience));
        guest.Stop();
    }

    private ModelGuest Create(
        string name,
        AccessPattern pattern,
        int writesPerStep,
        GuestKind kind = GuestKind.Pvh) =>
        _model.CreateDomain(new ModelDomainOptions
        {
            Name = name,
            Kind = kind,
            MemoryPages = Pages + FirstPfn,
            Workload = new WriterWorkload(pattern, seed: 11, Pages, writesPerStep),
        });

    /// <summary>Counts the steps of one write each that hit each page.</summary>
    private long[] Count(AccessPattern pattern, int steps)
    {
        // A PV guest's log covers its RAM only: short enough to read after each step.
        ModelGuest guest = Create("counted", pattern, writesPerStep: 1, GuestKind.Pv);
        var counts = new long[Pages];
        guest.ShadowControl(ShadowOp.EnableLogDirty);
        ulong[] bitmap = new ulong[(guest.PfnCount + 63) / 64];
        for (int i = 0; i < steps; i++)
        {
            guest.Step();
            guest.ShadowControl(ShadowOp.Clean, bitmap);
            for (int word = 0; word < bitmap.Length; word++)
            {
                for (ulong bits = bitmap[word]; bits != 0; bits &= bits - 1)
                {
                    int pfn = (word * 64) + BitOperations.TrailingZeroCount(bits);
                    if (pfn >= FirstPfn)
                    {
                        counts[pfn - FirstPfn]++;
                    }
                }
            }
        }

        return counts;
    }
}
