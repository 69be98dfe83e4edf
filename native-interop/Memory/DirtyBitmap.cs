namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>
/// A read-only view of a log-dirty bitmap: bit <c>n</c> of word <c>n / 64</c> is set when PFN <c>n</c> was
/// written (Xen public header <c>domctl.h</c>, <c>struct xen_domctl_shadow_op</c>).
/// </summary>
/// <remarks>The view is valid only as long as the memory behind it: for a dirty log, until its next call.</remarks>
public readonly ref struct DirtyBitmap
{
    private readonly ReadOnlySpan<ulong> _words;

    /// <summary>Wraps <paramref name="words"/> as the bitmap of <paramref name="pfnCount"/> pages.</summary>
    /// <param name="words">Exactly <see cref="WordsFor"/>(<paramref name="pfnCount"/>) words.</param>
    /// <param name="pfnCount">The number of PFNs the bitmap covers.</param>
    /// <exception cref="ArgumentException">The number of words does not match, or a bit at or past
    /// <paramref name="pfnCount"/> is set.</exception>
    public DirtyBitmap(ReadOnlySpan<ulong> words, long pfnCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pfnCount);
        if (words.Length != WordsFor(pfnCount))
        {
            throw new ArgumentException(
                $"A bitmap of {pfnCount} pages has {WordsFor(pfnCount)} words, not {words.Length}.", nameof(words));
        }

        _words = words;
        PfnCount = pfnCount;
    }

    /// <summary>The number of PFNs the bitmap covers.</summary>
    public long PfnCount { get; }

    /// <summary>The bitmap's words, least significant bit first.</summary>
    public ReadOnlySpan<ulong> Words => _words;

    /// <summary>The number of 64-bit words of a bitmap of <paramref name="pfnCount"/> pages.</summary>
    /// <param name="pfnCount">The number of pages, not negative.</param>
    public static int WordsFor(long pfnCount) => checked((int)((pfnCount + 63) / 64));

    /// <summary>True when PFN <paramref name="pfn"/> is marked dirty.</summary>
    /// <param name="pfn">A PFN below <see cref="PfnCount"/>.</param>
    public bool this[long pfn]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)pfn, (ulong)PfnCount, nameof(pfn));
            return (_words[(int)(pfn >> 6)] & (1UL << (int)(pfn & 63))) != 0;
        }
    }
}
