using System.Numerics;

namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>Finds runs of set bits in a bitmap, for <c>foreach</c>; see <see cref="DirtyBitmap.EnumerateRuns"/>.</summary>
/// <remarks>
/// A log-dirty bitmap is mostly long stretches of zero words (a PVH guest's covers 4 GiB whatever its memory), with
/// stretches of full words in a first checkpoint. Both are skipped by <c>IndexOfAnyExcept</c>, which uses the widest
/// vector instructions that the CPU has.
/// </remarks>
public ref struct DirtyRuns
{
    private readonly ReadOnlySpan<ulong> _words;
    private readonly int _maxCount;
    private int _index;

    // The bits of _words[_index] that were not returned yet.
    private ulong _rest;

    internal DirtyRuns(ReadOnlySpan<ulong> words, long first, int maxCount)
    {
        _words = words;
        _maxCount = maxCount;
        MoveTo(first);
    }

    /// <summary>The run found last.</summary>
    public PfnRun Current { get; private set; }

    /// <summary>The enumerator: this.</summary>
    public readonly DirtyRuns GetEnumerator() => this;

    /// <summary>Finds the next run.</summary>
    /// <returns>False where there is none.</returns>
    public bool MoveNext()
    {
        if (_rest == 0)
        {
            _index = SkipWords(_index + 1, _words.Length, 0);
            if (_index >= _words.Length)
            {
                return false;
            }

            _rest = _words[_index];
        }

        int bit = BitOperations.TrailingZeroCount(_rest);
        int ones = BitOperations.TrailingZeroCount(~(_rest >> bit));
        long first = ((long)_index << 6) + bit;
        long end = bit + ones < 64 ? first + ones : FindEnd(first);
        Current = new PfnRun(first, (int)Math.Min(end - first, _maxCount));
        MoveTo(Current.End);
        return true;
    }

    // The end of a run that reaches the end of its word.
    private readonly long FindEnd(long first)
    {
        // Not past the longest run wanted: a long stretch would be searched once for each of its parts.
        int limit = (int)Math.Min(_words.Length, (first + _maxCount + 63) >> 6);
        int index = SkipWords(_index + 1, limit, ulong.MaxValue);
        return ((long)index << 6)
            + (index < _words.Length ? BitOperations.TrailingZeroCount(~_words[index]) : 0);
    }

    // The first word from `start` on that is not `value`, or `limit` where there is none.
    private readonly int SkipWords(int start, int limit, ulong value)
    {
        if (start >= limit || _words[start] != value)
        {
            return Math.Min(start, limit);
        }

        int found = _words[start..limit].IndexOfAnyExcept(value);
        return found < 0 ? limit : start + found;
    }

    private void MoveTo(long position)
    {
        _index = (int)(position >> 6);
        _rest = _index < _words.Length ? _words[_index] & (ulong.MaxValue << (int)(position & 63)) : 0;
    }
}
