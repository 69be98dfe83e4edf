using System.Numerics;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Chains;

/// <summary>Units that were seen already: one bit each, worked on by runs.</summary>
internal sealed class SeenUnits
{
    private readonly ulong[] _words;

    internal SeenUnits(long units) => _words = new ulong[DirtyBitmap.WordsFor(units)];

    /// <summary>Finds the first stretch of units in [<paramref name="from"/>, <paramref name="end"/>) that were not
    /// seen, and marks it.</summary>
    /// <returns>An empty run where all were seen.</returns>
    internal PfnRun TakeUnseen(long from, long end)
    {
        long first = Find(from, end, unseen: true);
        if (first == end)
        {
            return default;
        }

        // A run's count is an int; what is longer comes in parts.
        long last = Find(first, Math.Min(end, first + int.MaxValue), unseen: false);
        Mark(first, last);
        return new PfnRun(first, (int)(last - first));
    }

    private long Find(long from, long end, bool unseen)
    {
        while (from < end)
        {
            ulong word = _words[from >> 6];
            ulong wanted = (unseen ? ~word : word) >> (int)(from & 63);
            if (wanted != 0)
            {
                return Math.Min(end, from + BitOperations.TrailingZeroCount(wanted));
            }

            from = (from | 63) + 1;
        }

        return end;
    }

    private void Mark(long from, long end)
    {
        while (from < end)
        {
            long stop = Math.Min(end, (from | 63) + 1);
            int count = (int)(stop - from);
            _words[from >> 6] |= (count == 64 ? ulong.MaxValue : (1UL << count) - 1) << (int)(from & 63);
            from = stop;
        }
    }
}
