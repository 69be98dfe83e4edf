using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <content>While the domain is suspended: the residual pages. Afterwards: their writing, or the way back.</content>
internal sealed partial class MemoryCapture
{
    private readonly PfnRun[] _runs = new PfnRun[CopyBatch.Capacity];
    private readonly List<long> _unread = new(CopyBatch.Capacity);
    private readonly List<long> _gone = new(CopyBatch.Capacity);
    private bool _collected;

    // The log was not asked yet whether the last final reading is whole.
    private bool _unconfirmed;
    private int _staged;
    private int _residual;

    /// <summary>Copies what no image has yet into the staging area: what the cache holds, and what was written since
    /// the last sample. The domain is suspended. Allocates nothing.</summary>
    /// <param name="staging">Receives the pages.</param>
    /// <param name="compareTypes">Looks for pages that entered or left the physical map, too: exact, and slow for a
    /// large guest. Without it, <see cref="TypesChanged"/> has to be asked afterwards.</param>
    /// <exception cref="StagingFullException">There is no room for them.</exception>
    /// <remarks><see cref="Confirm"/> has to follow: whether the log is whole is asked when the domain runs again.
    /// </remarks>
    public void Collect(StagingArea staging, bool compareTypes)
    {
        DirtyBitmap dirty = ReadLog(final: true);

        // From here on a mark means: residual.
        _collected = _copiesUnknown = true;
        _unconfirmed = true;
        long residual = _marks.SetToIntersection(dirty, _populated);
        foreach (long pfn in _cache)
        {
            residual += Mark(pfn);
        }

        foreach (long pfn in _retry)
        {
            residual += Mark(pfn);
        }

        _gone.Clear();
        if (compareTypes)
        {
            CollectTypes();
            residual = _marks.View.CountPages();
        }

        if (residual > int.MaxValue || !staging.TryReserve((int)residual, out _staged))
        {
            throw new StagingFullException(residual, staging.Pages);
        }

        _residual = (int)residual;
        CopyResidual(staging);
    }

    /// <inheritdoc/>
    public void Confirm()
    {
        if (!_unconfirmed)
        {
            return;
        }

        try
        {
            _log.RequireWhole();
            RequireSize(_domain.GetPfnCount());
            _unconfirmed = false;
        }
        catch (Exception e)
        {
            IncompleteBecause ??= e.Message;
            throw;
        }
    }

    /// <summary>True where pages entered or left the physical map since the last comparison. The domain may run.
    /// </summary>
    public bool TypesChanged() => Compare(touchNew: false, removeOld: false) > 0;

    /// <summary>Adds the residual pages to the image. The domain runs again.</summary>
    /// <param name="staging">What <see cref="Collect"/> filled.</param>
    /// <exception cref="InvalidOperationException"><see cref="Confirm"/> has not come before.</exception>
    public void WriteResidual(StagingArea staging)
    {
        if (_unconfirmed)
        {
            throw new InvalidOperationException("Nobody asked yet whether pages are missing.");
        }

        _domain.EndCapture();
        long position = 0;
        int at = _staged;
        int runs;
        _late.BeginCheckpoint();
        while ((runs = _marks.View.CopyRuns(ref position, _runs, CopyBatch.Capacity)) > 0)
        {
            foreach (PfnRun run in _runs.AsSpan(0, runs))
            {
                NoteLate(run);
                _writer!.AddUnits(run, staging.Span(at, run.Count));
                at += run.Count;
            }
        }

        // Behind the zeros that stand in their place above: the last entry counts.
        foreach (long pfn in _gone)
        {
            _writer!.AddUnpopulated(new PfnRun(pfn, 1));
        }
    }

    /// <summary>After a checkpoint that did not come about: what the log had goes into the cache, and what that has no
    /// room for into the image, which stays open. Nothing is lost.</summary>
    /// <exception cref="ImageWriteException">The image could not be written, and lacks pages.</exception>
    /// <exception cref="DirtyLogLostException">The log did not have all.</exception>
    public void Rollback()
    {
        _domain.EndCapture();
        if (!_collected)
        {
            return;
        }

        Confirm();
        _collected = false;
        foreach (long pfn in _gone)
        {
            _writer!.AddUnpopulated(new PfnRun(pfn, 1));
        }

        _gone.Clear();
        _retry.Clear();
        long position = 0;
        int runs;
        while ((runs = _marks.View.CopyRuns(ref position, _runs)) > 0)
        {
            foreach (PfnRun run in _runs.AsSpan(0, runs))
            {
                for (long pfn = run.First; pfn < run.End; pfn++)
                {
                    _ = _marks.Remove(pfn);
                    if (_populated.Contains(pfn) && !_cache.Contains(pfn))
                    {
                        Touch(pfn);
                    }
                }
            }
        }

        _residual = 0;
        Flush();
    }

    // 1 where the page is populated and was not marked.
    private int Mark(long pfn) => _populated.Contains(pfn) && _marks.Add(pfn) ? 1 : 0;

    private void NoteLate(PfnRun run)
    {
        for (long pfn = run.First; pfn < run.End; pfn++)
        {
            if (!_cache.Contains(pfn))
            {
                _late.Add(pfn);
            }
        }
    }

    private void CollectTypes()
    {
        DirtyBitmap populated = _populated.View;
        var walk = new TypeWalk(_domain, _populated, _types);
        while (walk.MoveNext())
        {
            for (int i = 0; i < walk.Types.Length; i++)
            {
                long pfn = walk.First + i;
                bool now = TypeWalk.IsPopulated(walk.Types[i]);
                if (now == populated[pfn])
                {
                    continue;
                }

                if (now)
                {
                    _ = _populated.Add(pfn);
                    PopulatedPages++;
                    _ = _marks.Add(pfn);
                }
                else
                {
                    _ = _marks.Remove(pfn);
                    Vanish(pfn);
                }
            }
        }
    }

    private void Vanish(long pfn)
    {
        _ = _populated.Remove(pfn);
        PopulatedPages--;
        _unpopulated++;
        _ = _cache.Remove(pfn);
        _gone.Add(pfn);
    }

    private void CopyResidual(StagingArea staging)
    {
        long position = 0;
        int at = _staged;
        int runs;
        while ((runs = _marks.View.CopyRuns(ref position, _runs, CopyBatch.Capacity)) > 0)
        {
            int pages = 0;
            foreach (PfnRun run in _runs.AsSpan(0, runs))
            {
                pages += run.Count;
            }

            if (_domain.CopyPages(_runs.AsSpan(0, runs), staging.Span(at, pages), _unread) < pages)
            {
                RequireGone();
            }

            at += pages;
        }
    }

    // A page that cannot be read is one that left the map; otherwise the checkpoint would lack it.
    private void RequireGone()
    {
        foreach (long pfn in _unread)
        {
            Span<PageType> type = _types.AsSpan(0, 1);
            _domain.GetPageTypes(pfn, type);
            if (type[0] == PageType.AllocateOnly)
            {
                // Its contents are of no interest; zeros stand in their place.
                continue;
            }

            if (TypeWalk.IsPopulated(type[0]))
            {
                throw new HypervisorException(
                    $"Page {pfn:x} of domain {_domain.Uuid} is populated and cannot be read.");
            }

            Vanish(pfn);
        }
    }
}
