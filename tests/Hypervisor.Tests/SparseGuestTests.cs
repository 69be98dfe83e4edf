using System.Diagnostics;
using System.Numerics;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>Measures the memory of the whole process, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(SparseGuestTests), DisableParallelization = true)]
[Collection(nameof(SparseGuestTests))]
public sealed class SparseGuestTests
{
    [Fact]
    public void A_sparse_guest_of_64_gib_costs_only_what_it_touches()
    {
        using var model = new ModelHypervisor();
        long before = ResidentBytes();
        ModelGuest guest = model.CreateDomain(new ModelDomainOptions
        {
            Name = "large",
            MemoryPages = 64L << 30 >> 12,
            Workload = new WriterWorkload(pages: 15_000_000, writesPerStep: 1000, firstPfn: 4L << 30 >> 12),
        });
        using IDomain domain = model.OpenDomain(guest.Uuid);
        using IDirtyLog log = domain.StartDirtyLog();
        guest.Step();

        Assert.Equal(1, guest.Steps);
        Assert.True(guest.PfnCount > guest.PopulatedPages);
        Assert.True(guest.PopulatedPages >= 64L << 30 >> 12);
        Assert.InRange(Population(log.Clean().Words), 900, 1001 + ModelShadowLog.Marks.Count);
        // 4 MiB of pages, their page tables, and bitmaps of 2 MiB each.
        Assert.True(ResidentBytes() - before < 64L << 20);
    }

    private static long ResidentBytes()
    {
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }

    private static int Population(ReadOnlySpan<ulong> words)
    {
        int population = 0;
        foreach (ulong word in words)
        {
            population += BitOperations.PopCount(word);
        }

        return population;
    }
}
