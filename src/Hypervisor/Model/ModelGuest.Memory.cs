using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>The physical map and the pages behind it.</content>
public sealed partial class ModelGuest
{
    /// <summary>Bytes of a page.</summary>
    public const int PageSize = 4096;

    /// <summary>The highest PFN in use plus one.</summary>
    public long PfnCount => _map.PfnCount;

    /// <summary>Populated pages, special pages included.</summary>
    public long PopulatedPages
    {
        get
        {
            using (PauseDomain())
            {
                return _map.PopulatedCount;
            }
        }
    }

    /// <summary>Populates a PFN with a zero page (a physical-map operation, or the balloon deflating).</summary>
    /// <param name="pfn">A PFN below <see cref="PfnCount"/>.</param>
    /// <remarks>The dirty log does not see it. For PVH and HVM neither does it see writes to the page until its
    /// next CLEAN: the page enters the map writable.</remarks>
    /// <returns>False where the PFN was populated already.</returns>
    public bool Populate(long pfn)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_map.Populate(pfn))
            {
                return false;
            }

            if (Kind != GuestKind.Pv)
            {
                _logDirty.Populated(pfn);
            }

            return true;
        }
    }

    /// <summary>Takes a page out of the physical map (the balloon inflating). Its contents are lost.</summary>
    /// <param name="pfn">The PFN.</param>
    /// <remarks>The dirty log does not see it.</remarks>
    /// <returns>False where the PFN was empty already.</returns>
    public bool Unpopulate(long pfn)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_map.Unpopulate(pfn))
            {
                return false;
            }

            _logDirty.Unpopulated(pfn);
            Span<byte> page = PageAt(pfn);
            // Writing zeros would commit a page that was never touched; reading does not.
            if (page.ContainsAnyExcept((byte)0))
            {
                page.Clear();
            }

            return true;
        }
    }

    /// <summary>Makes a populated page one of another type, such as a page table or a broken page.</summary>
    /// <param name="pfn">A populated PFN.</param>
    /// <param name="type">The type that <see cref="IDomain.GetPageTypes"/> reports.</param>
    public void SetPageType(long pfn, PageType type)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_map.IsPopulated(pfn) || type == PageType.Unpopulated)
            {
                throw new ArgumentException($"PFN {pfn:x} is not populated, or would not be.", nameof(pfn));
            }

            _map.SetType(pfn, type);
        }
    }

    /// <summary>Maps a page writable outside the guest.</summary>
    /// <param name="pfn">A populated PFN.</param>
    /// <param name="owner">Who maps it.</param>
    /// <returns>The mapping; disposing it unmaps the page.</returns>
    public WritableMapping Map(long pfn, MappingOwner owner)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_map.IsPopulated(pfn))
            {
                throw new ArgumentException($"PFN {pfn:x} is not populated.", nameof(pfn));
            }

            var mapping = new WritableMapping(this, pfn, owner);
            _mappings.Add(mapping);
            return mapping;
        }
    }

    internal void Unmap(WritableMapping mapping)
    {
        using (PauseDomain())
        {
            _mappings.Remove(mapping);
            _logDirty.Mark(mapping.Pfn);
        }
    }

    internal void WriteUnlogged(long pfn, int offset, ReadOnlySpan<byte> data)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            data.CopyTo(PageAt(pfn)[offset..]);
        }
    }

    internal void GetPageTypes(long first, Span<PageType> types)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            for (int i = 0; i < types.Length; i++)
            {
                types[i] = _map.TypeOf(first + i);
            }
        }
    }

    /// <summary>Copies pages while the guest runs: no lock is held, and a page may be torn. A write that tears
    /// it is logged before the next CLEAN can look.</summary>
    internal int CopyPages(ReadOnlySpan<PfnRun> runs, Span<byte> destination, ICollection<long> unread)
    {
        long pages = CountPages(runs);
        if (destination.Length < pages * PageSize)
        {
            throw new ArgumentException(
                $"{pages} pages need {pages * PageSize} bytes, not {destination.Length}.", nameof(destination));
        }

        if (Kind == GuestKind.Pv)
        {
            throw new NotSupportedException("The memory of a PV guest is read through libxenguest's saver.");
        }

        unread.Clear();
        bool fails = _faults.Take(ModelFault.CopyFailure, runs, out PfnRun? failing);
        bool referenced = false;
        try
        {
            ReferenceMemory(ref referenced);
            StrikeDestroyed();
            int copied = 0;
            int at = 0;
            foreach (PfnRun run in runs)
            {
                for (long pfn = run.First; pfn < run.End;)
                {
                    // As from a mapping of the pages: what can be read in a row is copied as one.
                    long end = pfn;
                    while (end < run.End && CanCopy(end))
                    {
                        end++;
                    }

                    if (end > pfn)
                    {
                        int length = (int)(end - pfn) * PageSize;
                        _memory.Span(pfn * PageSize, length).CopyTo(destination[at..]);
                        CountCopied(new PfnRun(pfn, (int)(end - pfn)));
                        at += length;
                        copied += (int)(end - pfn);
                        pfn = end;
                    }
                    else
                    {
                        destination.Slice(at, PageSize).Clear();
                        at += PageSize;
                        unread.Add(pfn++);
                    }
                }
            }

            return copied;
        }
        catch (ObjectDisposedException e)
        {
            throw new DomainNotFoundException(Uuid.ToString(), e);
        }
        finally
        {
            if (referenced)
            {
                _memory.DangerousRelease();
            }
        }

        bool CanCopy(long pfn) =>
            !(fails && (failing is not { } bad || (pfn >= bad.First && pfn < bad.End))) && _map.HasContents(pfn);
    }

    /// <summary>Copies a page as the hypervisor's own saver sees it; false where there is none.</summary>
    internal bool TryReadPage(long pfn, Span<byte> destination)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            if (!_map.IsPopulated(pfn))
            {
                return false;
            }

            PageAt(pfn).CopyTo(destination);
            return true;
        }
    }

    internal bool IsPopulated(long pfn) => _map.IsPopulated(pfn);

    /// <summary>The page of a PFN for the guest to read, or to write once the write is logged.</summary>
    internal Span<byte> GuestPage(long pfn, bool write)
    {
        if (!_map.IsPopulated(pfn))
        {
            throw new GuestPageFaultException(pfn);
        }

        if (write)
        {
            _logDirty.GuestWrites(pfn);
        }

        return PageAt(pfn);
    }

    private static long CountPages(ReadOnlySpan<PfnRun> runs)
    {
        long pages = 0;
        foreach (PfnRun run in runs)
        {
            if (run.First < 0 || run.Count <= 0)
            {
                throw new ArgumentException($"{run} is not a run of pages.", nameof(runs));
            }

            pages += run.Count;
        }

        return pages;
    }

    private void ReferenceMemory(ref bool referenced)
    {
        try
        {
            _memory.DangerousAddRef(ref referenced);
        }
        catch (ObjectDisposedException e)
        {
            throw new DomainNotFoundException(Uuid.ToString(), e);
        }
    }

    private Span<byte> PageAt(long pfn) => _memory.Span(pfn * PageSize, PageSize);

    private void PopulateAtBirth(ModelDomainOptions options)
    {
        for (long i = 0; i < options.MemoryPages; i++)
        {
            _map.Populate(PhysicalMap.RamPfn(options.Kind, i));
        }

        // A domain made for a restore gets its special pages with the image.
        for (int i = 1; options.Kind != GuestKind.Pv && options.MemoryPages > 0 && i <= PhysicalMap.SpecialCount; i++)
        {
            _map.Populate(PhysicalMap.SpecialEnd - i);
        }
    }
}
