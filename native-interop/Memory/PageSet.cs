namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>A set of page frame numbers, as a bitmap that can be changed; <see cref="View"/> reads it.</summary>
/// <remarks>One thread uses it at a time.</remarks>
public sealed class PageSet
{
    private readonly ulong[] _words;

    /// <summary>Makes an empty set.</summary>
    /// <param name="pfnCount">The number of PFNs that the set covers.</param>
    public PageSet(long pfnCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pfnCount);
        _words = new ulong[DirtyBitmap.WordsFor(pfnCount)];
        PfnCount = pfnCount;
    }

    /// <summary>The number of PFNs that the set covers.</summary>
    public long PfnCount { get; }

    /// <summary>The set as a bitmap; follows later changes.</summary>
    public DirtyBitmap View => new(_words, PfnCount);

    /// <summary>Adds a page.</summary>
    /// <param name="pfn">A PFN below <see cref="PfnCount"/>.</param>
    /// <returns>True where it was not in the set.</returns>
    public bool Add(long pfn)
    {
        ref ulong word = ref WordOf(pfn);
        ulong before = word;
        word |= 1UL << (int)(pfn & 63);
        return word != before;
    }

    /// <summary>Removes a page.</summary>
    /// <param name="pfn">A PFN below <see cref="PfnCount"/>.</param>
    /// <returns>True where it was in the set.</returns>
    public bool Remove(long pfn)
    {
        ref ulong word = ref WordOf(pfn);
        ulong before = word;
        word &= ~(1UL << (int)(pfn & 63));
        return word != before;
    }

    /// <summary>True where a page is in the set.</summary>
    /// <param name="pfn">A PFN below <see cref="PfnCount"/>.</param>
    public bool Contains(long pfn) => (WordOf(pfn) & (1UL << (int)(pfn & 63))) != 0;

    /// <summary>Removes the pages that another set does not have.</summary>
    /// <param name="other">A set that covers as many PFNs.</param>
    /// <exception cref="ArgumentException">It covers another number of PFNs.</exception>
    public void IntersectWith(PageSet other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (other.PfnCount != PfnCount)
        {
            throw new ArgumentException($"A set of {other.PfnCount} pages does not match {PfnCount}.", nameof(other));
        }

        for (int i = 0; i < _words.Length; i++)
        {
            _words[i] &= other._words[i];
        }
    }

    /// <summary>Adds the pages of a bitmap.</summary>
    /// <param name="other">A bitmap that covers as many PFNs.</param>
    /// <exception cref="ArgumentException">It covers another number of PFNs.</exception>
    public void Add(DirtyBitmap other)
    {
        if (other.PfnCount != PfnCount)
        {
            throw new ArgumentException($"A bitmap of {other.PfnCount} pages does not match {PfnCount}.", nameof(other));
        }

        ReadOnlySpan<ulong> words = other.Words;
        for (int i = 0; i < _words.Length; i++)
        {
            _words[i] |= words[i];
        }
    }

    /// <summary>Removes all pages.</summary>
    public void Clear() => Array.Clear(_words);

    private ref ulong WordOf(long pfn)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)pfn, (ulong)PfnCount, nameof(pfn));
        return ref _words[(int)(pfn >> 6)];
    }
}
