using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>Restore into a paused domain: pages, then registers, then <see cref="Unpause"/>.</content>
public sealed partial class ModelGuest
{
    /// <summary>Writes pages of an image, and populates what is not populated.</summary>
    /// <param name="runs">The PFNs.</param>
    /// <param name="source">The pages one after the other, 4096 bytes each.</param>
    /// <exception cref="InvalidOperationException">The domain is not paused.</exception>
    public void RestorePages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> source)
    {
        long pages = CountPages(runs);
        if (source.Length != pages * PageSize)
        {
            throw new ArgumentException(
                $"{pages} pages have {pages * PageSize} bytes, not {source.Length}.", nameof(source));
        }

        using (PauseDomain())
        {
            ThrowIfNotRestorable();
            int at = 0;
            foreach (PfnRun run in runs)
            {
                for (long pfn = run.First; pfn < run.End; pfn++, at += PageSize)
                {
                    _map.Populate(pfn);
                    source.Slice(at, PageSize).CopyTo(PageAt(pfn));
                }
            }
        }
    }

    /// <summary>Puts registers back, and finds the guest's program in its memory.</summary>
    /// <param name="registers">What <see cref="IDomain.CaptureRegisters"/> gave.</param>
    /// <exception cref="InvalidOperationException">The domain is not paused.</exception>
    /// <exception cref="HypervisorException">The registers are damaged or not a model's.</exception>
    public void RestoreRegisters(DomainRegisters registers)
    {
        ArgumentNullException.ThrowIfNull(registers);
        using (PauseDomain())
        {
            ThrowIfNotRestorable();
            _context.Restore(registers);
            _workload = _map.IsPopulated(Header.Pfn) ? WorkloadLoader.Load(_vcpu) : null;
        }
    }

    private void ThrowIfNotRestorable()
    {
        ThrowIfDestroyed();
        if (!_paused)
        {
            throw new InvalidOperationException($"Domain {Name} is not paused.");
        }
    }
}
