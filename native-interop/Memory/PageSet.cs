using System.Numerics;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>A set of page frame numbers, as a bitmap that can be changed; <see cref="View"/> reads it.</summary>
/// <remarks>
/// <para>A guest's physical map is mostly hole (a PVH guest's covers 4 GiB whatever its memory). One bit for each 64 words
/// tells where pages may be, so that clearing and combining sets passes over the holes.</para>
/// <para>One thread uses it at a time.</para>
/// </remarks>
public sealed class PageSet
{
    /// <summary>Words that one bit of the summary stands for, 4,096 pages: a guest of 128 MiB has 8 such blocks, a summary
    /// for 4 GiB has 4 words.</summary>
    [NotInC("A tuning constant.")]
    private const int BlockWords = 64;

    private readonly ulong[] _words;

    // A bit for each block of words; 0 where all of them are.
    private readonly ulong[] _blocks;

    /// <summary>Makes an empty set.</summary>
    /// <param name="pfnCount">The number of PFNs that the set covers.</param>
    public PageSet(long pfnCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pfnCount);
        _words = new ulong[DirtyBitmap.WordsFor(pfnCount)];
        _blocks = new ulong[(_words.Length + (BlockWords * 64) - 1) / (BlockWords * 64)];
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
        _blocks[(int)(pfn >> 18)] |= 1UL << (int)((pfn >> 12) & 63);
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

    /// <summary>Makes the set that of the pages that a bitmap and <paramref name="within"/> both have, whatever it was before.
    /// Looks only where <paramref name="within"/> has pages.</summary>
    /// <param name="bitmap">Pages.</param>
    /// <param name="within">The pages that may be in the set.</param>
    /// <returns>The number of pages in the set.</returns>
    /// <exception cref="ArgumentException">One of them covers another number of PFNs; nothing has changed.</exception>
    public long SetToIntersection(DirtyBitmap bitmap, PageSet within)
    {
        ArgumentNullException.ThrowIfNull(within);
        RequireSize(bitmap.PfnCount, nameof(bitmap));
        RequireSize(within.PfnCount, nameof(within));
        Clear();
        long count = 0;
        for (int i = 0; i < _blocks.Length; i++)
        {
            _blocks[i] = within._blocks[i];
            for (ulong left = _blocks[i]; left != 0; left &= left - 1)
            {
                Range block = BlockOf(i, left);
                Span<ulong> words = _words.AsSpan(block);
                ReadOnlySpan<ulong> dirty = bitmap.Words[block], mask = within._words.AsSpan(block);
                for (int w = 0; w < words.Length; w++)
                {
                    words[w] = dirty[w] & mask[w];
                    count += BitOperations.PopCount(words[w]);
                }
            }
        }

        return count;
    }

    /// <summary>Removes all pages.</summary>
    public void Clear()
    {
        for (int i = 0; i < _blocks.Length; i++)
        {
            for (ulong left = _blocks[i]; left != 0; left &= left - 1)
            {
                _words.AsSpan(BlockOf(i, left)).Clear();
            }

            _blocks[i] = 0;
        }
    }

    // The words of the first block of those that are left of a word of the summary.
    private Range BlockOf(int index, ulong left)
    {
        int first = ((index * 64) + BitOperations.TrailingZeroCount(left)) * BlockWords;
        return first..Math.Min(first + BlockWords, _words.Length);
    }

    private void RequireSize(long pfnCount, string name)
    {
        if (pfnCount != PfnCount)
        {
            throw new ArgumentException($"A set of {pfnCount} pages does not match {PfnCount}.", name);
        }
    }

    private ref ulong WordOf(long pfn)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)pfn, (ulong)PfnCount, nameof(pfn));
        return ref _words[(int)(pfn >> 6)];
    }
}
