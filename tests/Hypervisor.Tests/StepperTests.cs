using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

public sealed class StepperTests : IDisposable
{
    private readonly ModelHypervisor _model = new();
    private readonly ModelGuest _guest;
    private readonly IDomain _domain;

    public StepperTests()
    {
        _guest = _model.CreateDomain(Options("guest"));
        _domain = _model.OpenDomain(_guest.Uuid);
    }

    public void Dispose()
    {
        _domain.Dispose();
        _model.Dispose();
    }

    [Fact]
    public void Memory_disk_and_registers_are_of_the_step_that_ran_last()
    {
        Assert.Null(StepperWorkload.Verify(_guest.View));
        for (int i = 0; i < 20; i++)
        {
            _guest.Step(7);
            Assert.Null(StepperWorkload.Verify(_guest.View));
        }

        Assert.Equal(140, StepperWorkload.StepOf(_guest.View));
        Assert.Equal(140, _guest.Steps);
    }

    [Fact]
    public void A_lost_page_write_is_found()
    {
        _guest.Step(100);
        for (long pfn = 17; pfn < 17 + 64; pfn++)
        {
            byte[] old = _guest.View.ReadPage(pfn).ToArray();
            using WritableMapping mapping = _guest.Map(pfn, MappingOwner.Backend);
            mapping.Write(4000, [(byte)~old[4000]]);
            Assert.Contains($"page {pfn - 17} ", StepperWorkload.Verify(_guest.View), StringComparison.Ordinal);
            mapping.Write(0, old);
            Assert.Null(StepperWorkload.Verify(_guest.View));
        }
    }

    [Fact]
    public async Task A_page_left_at_an_older_step_is_found()
    {
        _guest.Step(50);
        byte[][] old = [.. Enumerable.Range(17, 64).Select(pfn => _guest.View.ReadPage(pfn).ToArray())];
        _guest.Step(1);
        await _domain.SuspendAsync(TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        int changed = Enumerable.Range(0, 64).First(i => !_guest.View.ReadPage(17 + i).SequenceEqual(old[i]));
        using WritableMapping mapping = _guest.Map(17 + changed, MappingOwner.Backend);
        mapping.Write(0, old[changed]);

        Assert.Contains("last written in step 51", StepperWorkload.Verify(_guest.View), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public void A_disk_of_another_step_is_found(int offset)
    {
        _guest.Step(100);
        ModelGuest other = _model.CreateDomain(Options("other"));
        other.Step(100 + offset);
        _guest.Disk.CopyFrom(other.Disk);

        Assert.Equal(
            $"the disk is of step {100 + offset}, memory is of step 100", StepperWorkload.Verify(_guest.View));
    }

    [Fact]
    public void A_lost_older_block_is_found()
    {
        _guest.Step(100);
        long block = Enumerable.Range(0, 32)
            .First(i => _guest.Disk.Read(i)[0] is not 0 and not 100);
        _guest.Disk.Write(block, new byte[ModelDisk.BlockSize]);

        Assert.Contains($"block {block} is of step 0", StepperWorkload.Verify(_guest.View), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Registers_of_another_step_are_found()
    {
        _guest.Step(10);
        GuestImage early = await ImageAsync();
        _guest.Step(1);
        GuestImage late = await ImageAsync();
        using var elsewhere = new ModelHypervisor();
        ModelGuest restored = late.RestoreInto(elsewhere);
        restored.Pause();
        restored.RestoreRegisters(early.Registers);

        Assert.Equal("registers are of step 10, memory is of step 11", StepperWorkload.Verify(restored.View));
    }

    [Fact]
    public async Task A_restored_guest_goes_on_as_the_original_does()
    {
        _guest.Step(33);
        GuestImage image = await ImageAsync();
        _guest.Step(40);
        using var elsewhere = new ModelHypervisor();
        ModelGuest restored = image.RestoreInto(elsewhere);
        Assert.Equal(33, restored.Steps);
        Assert.Null(StepperWorkload.Verify(restored.View));

        Assert.Equal(40, restored.Step(40));

        Assert.Null(StepperWorkload.Verify(restored.View));
        Assert.Equal(73, StepperWorkload.StepOf(restored.View));
        AssertSameMemoryAndDisk(_guest, restored);
        Assert.Equal(_guest.PopulatedPages, restored.PopulatedPages);
    }

    [Fact]
    public async Task A_chain_of_increments_restores_the_last_step()
    {
        using IDirtyLog log = _domain.StartDirtyLog();
        GuestImage image = await ImageAsync();
        for (int i = 0; i < 5; i++)
        {
            _guest.Step(9);
            await _domain.SuspendAsync(TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
            image = GuestImage.TakeIncrement(image, _guest, _domain, log.Clean(final: true));
            _domain.Resume();
        }

        using var elsewhere = new ModelHypervisor();
        ModelGuest restored = image.RestoreInto(elsewhere);
        Assert.Null(StepperWorkload.Verify(restored.View));
        Assert.Equal(45, StepperWorkload.StepOf(restored.View));
    }

    [Fact]
    public async Task Damaged_registers_are_refused()
    {
        GuestImage image = await ImageAsync();
        byte[] context = image.Registers.HvmContext.ToArray();
        context[20] ^= 1;
        _guest.Pause();

        Assert.Throws<HypervisorException>(
            () => _guest.RestoreRegisters(image.Registers with { HvmContext = context }));
    }

    [Fact]
    public void The_same_seed_gives_the_same_guest_and_another_seed_another()
    {
        ModelGuest same = _model.CreateDomain(Options("same"));
        ModelGuest different = _model.CreateDomain(Options("different") with
        {
            Workload = new StepperWorkload(seed: 6, pages: 64, pagesPerStep: 4),
        });
        _model.Advance(50);

        AssertSameMemoryAndDisk(_guest, same);
        Assert.Contains(
            Enumerable.Range(17, 64),
            pfn => !_guest.View.ReadPage(pfn).SequenceEqual(different.View.ReadPage(pfn)));
    }

    private static ModelDomainOptions Options(string name) => new()
    {
        Name = name,
        MemoryPages = 256,
        DiskBlocks = 32,
        Workload = new StepperWorkload(seed: 5, pages: 64, pagesPerStep: 4),
    };

    private static void AssertSameMemoryAndDisk(ModelGuest expected, ModelGuest actual)
    {
        for (long pfn = 0; pfn < 256; pfn++)
        {
            Assert.Equal(expected.View.ReadPage(pfn), actual.View.ReadPage(pfn));
        }

        for (long block = 0; block < 32; block++)
        {
            Assert.Equal(expected.Disk.Read(block), actual.Disk.Read(block));
        }
    }

    private async Task<GuestImage> ImageAsync()
    {
        await _domain.SuspendAsync(TimeSpan.FromMinutes(5), TestContext.Current.CancellationToken);
        var image = GuestImage.Take(_guest, _domain);
        _domain.Resume();
        return image;
    }
}
