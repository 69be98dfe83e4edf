namespace XenTwoLevelCkpt.Checkpointing.Cache;

/// <summary>
/// The cache-like array of the most recently dirtied page addresses (section 4.1 of the two-level paper): a fixed
/// number of entries, exact LRU order by last dirtying, constant time for each touch.
/// </summary>
/// <remarks>
/// <para>
/// The entries are an open-addressing hash table with linear probing, and at the same time a doubly linked list in the
/// order of last dirtying. Three 4-byte fields in a table filled to three quarters are 16 bytes an entry. Nothing is
/// allocated after construction, and nothing depends on the size of the guest.
/// </para>
/// <para>One thread uses it at a time.</para>
/// </remarks>
public sealed class DirtyPageCache
{
    private const int None = -1;

    // In _older: the slot holds no entry.
    private const int Free = -2;

    private readonly uint[] _pages;
    private readonly int[] _older;
    private readonly int[] _newer;
    private int _oldest = None;
    private int _newest = None;
    private int _limit;

    // The first of the pages that the present sample found in the cache.
    private int _firstHit = None;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="capacity">The most entries that it can ever hold; 0 for a cache that evicts each page at once.
    /// </param>
    public DirtyPageCache(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(capacity);

        // A third more slots than entries, and never none: a search ends at a free slot.
        int slots = checked(capacity + (capacity / 3) + 1);
        _pages = new uint[slots];
        _older = new int[slots];
        _newer = new int[slots];
        Array.Fill(_older, Free);
        Capacity = capacity;
        _limit = capacity;
    }

    /// <summary>The most entries that the cache can ever hold.</summary>
    public int Capacity { get; }

    /// <summary>The most entries wanted now, at most <see cref="Capacity"/>. Lowering it evicts nothing:
    /// <see cref="TryEvict"/> does, until <see cref="Count"/> is no higher.</summary>
    public int Limit
    {
        get => _limit;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Capacity);
            _limit = value;
        }
    }

    /// <summary>Entries now.</summary>
    public int Count { get; private set; }

    /// <summary>Touches of pages that were in the cache.</summary>
    public long Hits { get; private set; }

    /// <summary>Touches of pages that were not.</summary>
    public long Misses { get; private set; }

    /// <summary>Pages that fell out.</summary>
    public long Evictions { get; private set; }

    /// <summary>Bytes of all entries' fields: at most 16 for each entry, and one slot.</summary>
    internal long SizeInBytes => (long)_pages.Length * (sizeof(uint) + sizeof(int) + sizeof(int));

    /// <summary>Makes a page the most recently dirtied one.</summary>
    /// <param name="pfn">The page, below 2^32: 16 TiB of guest memory, which is also the most that an image holds.
    /// </param>
    /// <param name="evicted">The page that falls out for it: the one whose last dirtying lies furthest back.</param>
    /// <returns>True where a page fell out.</returns>
    public bool Touch(long pfn, out long evicted)
    {
        _firstHit = None;
        return TouchInSample(pfn, out evicted);
    }

    /// <summary>Begins a sample: pages of which it is not known in which order they were dirtied.</summary>
    public void BeginSample() => _firstHit = None;

    /// <summary>Makes a page one of the most recently dirtied ones. Of the pages of a sample, those that were in the cache
    /// already count as dirtied after those that were not: written in more than one sample, they are the likelier to be
    /// written again.</summary>
    /// <param name="pfn">The page; see <see cref="Touch"/>.</param>
    /// <param name="evicted">The page that falls out for it.</param>
    /// <returns>True where a page fell out.</returns>
    public bool TouchInSample(long pfn, out long evicted)
    {
        uint page = checked((uint)pfn);
        evicted = 0;
        int slot = Find(page);
        if (slot != None)
        {
            Hits++;
            if (slot != _newest)
            {
                Unlink(slot);
                Append(slot);
            }

            _firstHit = _firstHit == None ? slot : _firstHit;
            return false;
        }

        Misses++;
        if (_limit == 0)
        {
            Evictions++;
            evicted = pfn;
            return true;
        }

        bool full = Count >= _limit;
        if (full)
        {
            _ = TryEvict(out evicted);
        }

        Insert(page);
        return full;
    }

    /// <summary>True where a page is in the cache. Changes nothing.</summary>
    /// <param name="pfn">The page.</param>
    public bool Contains(long pfn) => pfn is >= 0 and <= uint.MaxValue && Find((uint)pfn) != None;

    /// <summary>Takes a page out that needs no saving any more.</summary>
    /// <param name="pfn">The page.</param>
    /// <returns>True where it was in the cache.</returns>
    public bool Remove(long pfn)
    {
        int slot = pfn is >= 0 and <= uint.MaxValue ? Find((uint)pfn) : None;
        if (slot == None)
        {
            return false;
        }

        Unlink(slot);
        Release(slot);
        return true;
    }

    /// <summary>Takes the page out whose last dirtying lies furthest back.</summary>
    /// <param name="evicted">The page.</param>
    /// <returns>False where the cache is empty.</returns>
    public bool TryEvict(out long evicted)
    {
        int slot = _oldest;
        if (slot == None)
        {
            evicted = 0;
            return false;
        }

        evicted = _pages[slot];
        Unlink(slot);
        Release(slot);
        Evictions++;
        return true;
    }

    /// <summary>Forgets all pages.</summary>
    public void Clear()
    {
        Array.Fill(_older, Free);
        _oldest = _newest = _firstHit = None;
        Count = 0;
    }

    /// <summary>The pages, least recently dirtied first. Allocates nothing.</summary>
    /// <returns>For <c>foreach</c>; the cache must not change meanwhile.</returns>
    public Enumerator GetEnumerator() => new(this);

    // Multiplication by 2^32 divided by the golden ratio spreads neighbouring pages (Knuth, TAOCP 3, 6.4); the upper
    // half of the product with the number of slots maps that to a slot without a division.
    private int HomeOf(uint page) => (int)(((ulong)(page * 0x9E3779B1u) * (ulong)_pages.Length) >> 32);

    private int Next(int slot) => ++slot == _pages.Length ? 0 : slot;

    private int Find(uint page)
    {
        for (int slot = HomeOf(page); _older[slot] != Free; slot = Next(slot))
        {
            if (_pages[slot] == page)
            {
                return slot;
            }
        }

        return None;
    }

    private void Insert(uint page)
    {
        int slot = HomeOf(page);
        while (_older[slot] != Free)
        {
            slot = Next(slot);
        }

        _pages[slot] = page;
        if (_firstHit == None)
        {
            Append(slot);
        }
        else
        {
            InsertBefore(_firstHit, slot);
        }

        Count++;
    }

    private void InsertBefore(int next, int slot)
    {
        int older = _older[next];
        _older[slot] = older;
        _newer[slot] = next;
        _older[next] = slot;
        if (older == None)
        {
            _oldest = slot;
        }
        else
        {
            _newer[older] = slot;
        }
    }

    private void Append(int slot)
    {
        _older[slot] = _newest;
        _newer[slot] = None;
        if (_newest == None)
        {
            _oldest = slot;
        }
        else
        {
            _newer[_newest] = slot;
        }

        _newest = slot;
    }

    private void Unlink(int slot)
    {
        int older = _older[slot], newer = _newer[slot];
        _firstHit = slot == _firstHit ? newer : _firstHit;
        if (older == None)
        {
            _oldest = newer;
        }
        else
        {
            _newer[older] = newer;
        }

        if (newer == None)
        {
            _newest = older;
        }
        else
        {
            _older[newer] = older;
        }
    }

    // Frees an unlinked slot, and moves entries back that a search would not reach across the gap any more (Knuth's
    // algorithm R), so that no slot is ever lost to a deleted entry.
    private void Release(int gap)
    {
        Count--;
        for (int slot = Next(gap); _older[slot] != Free; slot = Next(slot))
        {
            int home = HomeOf(_pages[slot]);
            bool reachable = gap <= slot ? home > gap && home <= slot : home > gap || home <= slot;
            if (!reachable)
            {
                Move(slot, gap);
                gap = slot;
            }
        }

        _older[gap] = Free;
    }

    private void Move(int from, int to)
    {
        int older = _older[from], newer = _newer[from];
        _firstHit = from == _firstHit ? to : _firstHit;
        _pages[to] = _pages[from];
        _older[to] = older;
        _newer[to] = newer;
        if (older == None)
        {
            _oldest = to;
        }
        else
        {
            _newer[older] = to;
        }

        if (newer == None)
        {
            _newest = to;
        }
        else
        {
            _older[newer] = to;
        }
    }

    /// <summary>Goes through a cache from the least recently dirtied page on.</summary>
    public struct Enumerator
    {
        private readonly DirtyPageCache _cache;
        private int _next;

        internal Enumerator(DirtyPageCache cache)
        {
            _cache = cache;
            _next = cache._oldest;
        }

        /// <summary>The page.</summary>
        public long Current { get; private set; }

        /// <summary>Goes on to the next page.</summary>
        /// <returns>False where there is none.</returns>
        public bool MoveNext()
        {
            if (_next == None)
            {
                return false;
            }

            Current = _cache._pages[_next];
            _next = _cache._newer[_next];
            return true;
        }
    }
}
