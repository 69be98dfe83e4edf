using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>
/// The memory of one PVH domain from checkpoint to checkpoint: its dirty log, the cache of the pages dirtied most
/// recently, and the image of the open epoch, which receives what falls out of the cache.
/// </summary>
/// <remarks>
/// <para>
/// Between checkpoints every populated page is in one of three states: its last copy in the chain of images is its
/// content; or it is in the cache; or Xen's log has it. A step that fails leaves a page in one of the latter two.
/// </para>
/// <para>Two bits a guest page: populated, and a mark. During an epoch a mark means that the image has a copy of the
/// page, which is what pages copied in vain are counted by; from <see cref="Collect"/> on, that the page is residual.
/// </para>
/// <para>One thread uses it at a time.</para>
/// </remarks>
internal sealed partial class MemoryCapture : IMemoryCapture
{
    private readonly IDomain _domain;
    private readonly DirtyPageCache _cache;
    private readonly CopyBatch _batch;
    private readonly IDirtyLog _log;
    private readonly PageSet _populated;
    private readonly PageSet _marks;
    private readonly PageType[] _types = new PageType[TypeWalk.Batch];
    private readonly List<long> _retry = [];
    private readonly LatePages _late = new();
    private ImageWriter? _writer;
    private long _feed;
    private bool _feeding;
    private long _touched;
    private long _evicted;
    private long _inVain;
    private long _fed;
    private long _unpopulated;
    private long _samples;
    private long _hitsBefore;
    private long _pageCount;

    /// <summary>Starts the dirty log.</summary>
    /// <param name="domain">The domain; stays the caller's.</param>
    /// <param name="cache">An empty cache.</param>
    /// <param name="batch">Shared by the captures of a node.</param>
    /// <exception cref="DirtyLogBusyException">Somebody else has the log.</exception>
    internal MemoryCapture(IDomain domain, DirtyPageCache cache, CopyBatch batch)
    {
        _domain = domain;
        _cache = cache;
        _batch = batch;
        _log = domain.StartDirtyLog();
        _populated = new PageSet(_log.PfnCount);
        _marks = new PageSet(_log.PfnCount);
    }

    /// <summary>The number of PFNs: bits of a bitmap, units of an image.</summary>
    public long PfnCount => _populated.PfnCount;

    /// <summary>Populated pages at the last comparison of types.</summary>
    public long PopulatedPages { get; private set; }

    /// <summary>True until every page of a full image was copied or is in the cache.</summary>
    internal bool IsFeeding => _feeding;

    /// <summary>Pages of a full image that were not looked at yet.</summary>
    public long FeedLeft => _feeding ? PfnCount - _feed : 0;

    /// <inheritdoc/>
    public string? IncompleteBecause { get; private set; }

    /// <summary>The cache.</summary>
    public DirtyPageCache? Cache => _cache;

    /// <summary>Counts of the open epoch.</summary>
    public MemoryStatistics Statistics => new(
        _touched, _cache.Hits - _hitsBefore, _evicted, _inVain, _fed, _residual, _unpopulated, _samples);

    /// <summary>Opens an epoch.</summary>
    /// <param name="writer">The image that receives pages.</param>
    /// <param name="full">The image has to hold all pages, not only those that change from now on.</param>
    public void BeginEpoch(ImageWriter writer, bool full)
    {
        _domain.EndCapture();
        _writer = writer;
        _collected = _copiesUnknown = false;
        _marks.Clear();
        if (full || _owed is null)
        {
            _cache.Clear();
            _retry.Clear();
        }

        _touched = _evicted = _inVain = _fed = _unpopulated = _samples = 0;
        _residual = 0;
        _hitsBefore = _cache.Hits;
        if (!full && _owed is not null)
        {
            ComeBack();
        }

        if (full)
        {
            _owed = null;
            _populated.Clear();
            PopulatedPages = 0;
            _feeding = true;
            _feed = 0;
            CompareTypes(touchNew: false);
        }
    }

    /// <summary>Looks at what was written since the last look, and writes what the cache has no room for.</summary>
    /// <returns>The number of pages that were dirty.</returns>
    /// <exception cref="DirtyLogLostException">Only a full image is complete now.</exception>
    /// <exception cref="ImageWriteException">The image could not be written, and lacks pages.</exception>
    public long Sample()
    {
        Retry();
        if (_domain.GetPageCount() != _pageCount)
        {
            // The balloon moves. A page that is taken out and put back later is known as a new one by that.
            _ = Compare(touchNew: true, removeOld: true);
        }

        long dirty = Take(ReadLog(final: false));
        _samples++;
        Trim();
        return dirty;
    }

    /// <summary>Copies pages of a full image that were not dirty meanwhile: they count as those whose last dirtying
    /// lies furthest back, so they are written without passing through the cache.</summary>
    /// <param name="maxPages">The most pages to copy now.</param>
    /// <returns>The number of pages copied.</returns>
    public int Feed(int maxPages)
    {
        int fed = 0;
        while (_feeding && fed < maxPages)
        {
            DirtyRuns runs = FeedSource.View.EnumerateRuns(_feed, Math.Min(maxPages - fed, CopyBatch.Capacity));
            if (!runs.MoveNext())
            {
                _feed = PfnCount;
                _feeding = false;
                _owed = null;
                break;
            }

            for (long pfn = runs.Current.First; pfn < runs.Current.End; pfn++)
            {
                if (!_cache.Contains(pfn) && _populated.Contains(pfn))
                {
                    Save(pfn);
                    _fed++;
                    fed++;
                }
            }

            _feed = runs.Current.End;
        }

        Flush();
        return fed;
    }

    /// <summary>Evicts what the cache holds beyond its limit.</summary>
    internal void Trim()
    {
        while (_cache.Count > _cache.Limit && _cache.TryEvict(out long pfn))
        {
            Evict(pfn);
        }

        Flush();
    }

    /// <summary>Compares page types.</summary>
    /// <param name="cancellationToken">Not asked: it is one walk over the physical map.</param>
    public void Approach(CancellationToken cancellationToken) => _ = CompareTypes();

    /// <summary>Looks at the log for the last time before the suspension, and maps what the cache holds and what came late
    /// the last times.</summary>
    public void LookLast()
    {
        _ = Sample();
        _domain.PrepareCapture(PagesToPrepare());
    }

    /// <inheritdoc/>
    public int LookAgain(int most)
    {
        var pages = new List<PfnRun>();
        foreach (PfnRun run in _log.Peek().EnumerateRuns())
        {
            for (long pfn = run.First; pfn < run.End && pages.Count < most; pfn++)
            {
                if (_populated.Contains(pfn) && !_cache.Contains(pfn))
                {
                    pages.Add(new PfnRun(pfn, 1));
                }
            }
        }

        return _domain.ExtendCapture(CollectionsMarshal.AsSpan(pages));
    }

    /// <summary>None: all that a PVH guest needs is in its registers.</summary>
    public PvMemoryState? PvState => null;

    /// <inheritdoc/>
    public void Dispose() => _log.Dispose();

    private PfnRun[] PagesToPrepare()
    {
        var pages = new SortedSet<long>();
        foreach (long pfn in _cache)
        {
            _ = pages.Add(pfn);
        }

        foreach (long pfn in _late.Pages)
        {
            if (_populated.Contains(pfn))
            {
                _ = pages.Add(pfn);
            }
        }

        return [.. pages.Select(p => new PfnRun(p, 1))];
    }

    // A reading that fails may have cleared what it did not deliver.
    private DirtyBitmap ReadLog(bool final)
    {
        try
        {
            DirtyBitmap dirty = _log.Clean(final);
            RequireSize(dirty.PfnCount);
            return dirty;
        }
        catch (Exception e)
        {
            IncompleteBecause ??= e.Message;
            throw;
        }
    }

    // Pages that are in the cache first: a page that falls out for another one must not be one that this sample has, too.
    private long Take(DirtyBitmap dirty)
    {
        _cache.BeginSample();
        long count = Take(dirty, cached: true) + Take(dirty, cached: false);
        _touched += count;
        return count;
    }

    private long Take(DirtyBitmap dirty, bool cached)
    {
        long count = 0;
        foreach (PfnRun run in dirty.EnumerateRuns())
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                // Pages that are no memory of the guest (grant frames, the shared info page) come back as dirty, too.
                if (_cache.Contains(pfn) == cached && _populated.Contains(pfn))
                {
                    Touch(pfn);
                    count++;
                }
            }
        }

        return count;
    }

    private void Touch(long pfn)
    {
        if (_marks.Remove(pfn))
        {
            _inVain++;
        }

        if (_cache.TouchInSample(pfn, out long evicted))
        {
            Evict(evicted);
        }
    }

    private void Evict(long pfn)
    {
        _evicted++;
        Save(pfn);
    }

    private void Save(long pfn)
    {
        _ = _marks.Add(pfn);
        _batch.Add(pfn);
        if (_batch.IsFull)
        {
            Flush();
        }
    }

    private void Flush()
    {
        try
        {
            foreach (long pfn in _batch.Write(_domain, _writer!))
            {
                Unread(pfn);
            }
        }
        catch
        {
            _batch.Clear();
            throw;
        }
    }

    // Gone from the map since the last comparison, which the next one finds; or not readable just now: then it is tried
    // again, at the latest while the guest is suspended.
    private void Unread(long pfn)
    {
        _ = _marks.Remove(pfn);
        _retry.Add(pfn);
    }

    private void Retry()
    {
        for (int left = _retry.Count; left > 0; left--)
        {
            long pfn = _retry[^1];
            _retry.RemoveAt(_retry.Count - 1);
            if (_populated.Contains(pfn))
            {
                Touch(pfn);
            }
        }
    }

    private void RequireSize(long pfnCount)
    {
        if (pfnCount > PfnCount)
        {
            // All that is sized by the number of PFNs is made anew.
            var grown = new MemoryMapGrownException(PfnCount, pfnCount);
            IncompleteBecause ??= grown.Message;
            throw grown;
        }
    }
}
