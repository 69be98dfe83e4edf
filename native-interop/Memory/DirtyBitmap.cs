using System.Numerics;

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
    /// <paramref name="pfnCount"/> is set: somebody sized the bitmap wrong, and pages may be missing.</exception>
    public DirtyBitmap(ReadOnlySpan<ulong> words, long pfnCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pfnCount);
        if (words.Length != WordsFor(pfnCount))
        {
            throw new ArgumentException(
                $"A bitmap of {pfnCount} pages has {WordsFor(pfnCount)} words, not {words.Length}.", nameof(words));
        }

        int used = (int)(pfnCount & 63);
        if (used != 0 && words[^1] >> used != 0)
        {
            throw new ArgumentException(
                $"The last word of a bitmap of {pfnCount} pages has a bit set behind its last page: {words[^1]:x16}.",
                nameof(words));
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

    /// <summary>The number of pages marked dirty.</summary>
    public long CountPages()
    {
        long count = 0;
        foreach (ulong word in _words)
        {
            count += BitOperations.PopCount(word);
        }

        return count;
    }

    /// <summary>The runs of dirty pages, in ascending order and as long as they can be. Allocates nothing.</summary>
    /// <param name="first">Where to begin: pages before it are left out.</param>
    /// <param name="maxCount">The longest run wanted; a longer one comes in several parts.</param>
    /// <returns>For <c>foreach</c>; valid as long as this view.</returns>
    public DirtyRuns EnumerateRuns(long first = 0, int maxCount = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, PfnCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxCount);
        return new DirtyRuns(_words, first, maxCount);
    }

    /// <summary>Copies the next runs of dirty pages: one batch of a copy with a bounded buffer.</summary>
    /// <param name="position">Where to begin; moved behind the last page that the batch holds, or to
    /// <see cref="PfnCount"/> where no dirty page is left.</param>
    /// <param name="destination">Receives the runs.</param>
    /// <param name="maxPages">The most pages wanted in all the runs together.</param>
    /// <returns>The number of runs; 0 where no dirty page is left.</returns>
    public int CopyRuns(ref long position, Span<PfnRun> destination, int maxPages = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfZero(destination.Length, nameof(destination));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxPages);
        int runs = 0;
        DirtyRuns remaining = EnumerateRuns(position, maxPages);
        while (remaining.MoveNext())
        {
            PfnRun run = remaining.Current;
            if (run.Count > maxPages)
            {
                run = run with { Count = maxPages };
            }

            destination[runs++] = run;
            maxPages -= run.Count;
            position = run.End;
            if (runs == destination.Length || maxPages == 0)
            {
                return runs;
            }
        }

        position = PfnCount;
        return runs;
    }
}
