using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Pages of a domain that are mapped ahead of being copied.</summary>
/// <remarks>In the order of their numbers, whatever mapping they are in: who copies many pages in that order goes through
/// them once, and need not search.</remarks>
internal sealed class PreparedPages : IDisposable
{
    private readonly List<ForeignMapping> _mappings = [];
    private long[] _pfns = [];
    private Place[] _places = [];

    /// <summary>Maps pages. Those that cannot be mapped are known as such.</summary>
    /// <param name="memory">Access to guests' memory.</param>
    /// <param name="domid">The domain's id.</param>
    /// <param name="pfns">The pages, in ascending order, none of which <see cref="Has"/> knows.</param>
    internal void Map(ForeignMemory memory, uint domid, long[] pfns)
    {
        if (pfns.Length == 0)
        {
            return;
        }

        ForeignMapping mapping = memory.Map(
            domid, ForeignAccess.Read, Array.ConvertAll(pfns, p => (ulong)p), new int[pfns.Length]);
        _mappings.Add(mapping);
        long[] old = _pfns;
        Place[] oldPlaces = _places;
        _pfns = new long[old.Length + pfns.Length];
        _places = new Place[_pfns.Length];
        for (int i = 0, a = 0, b = 0; i < _pfns.Length; i++)
        {
            if (b == pfns.Length || (a < old.Length && old[a] < pfns[b]))
            {
                (_pfns[i], _places[i]) = (old[a], oldPlaces[a]);
                a++;
            }
            else
            {
                (_pfns[i], _places[i]) = (pfns[b], mapping.IsMapped(b) ? new Place(_mappings.Count, b) : default);
                b++;
            }
        }
    }

    /// <summary>True where an attempt was made to map the page.</summary>
    internal bool Has(long pfn) => Array.BinarySearch(_pfns, pfn) >= 0;

    /// <summary>Copies the first page of a run, and those behind it that are mapped side by side. Allocates nothing;
    /// thread-safe while nothing is mapped.</summary>
    /// <param name="run">The run.</param>
    /// <param name="destination">Receives the pages.</param>
    /// <param name="at">Where the caller is: 0 at first, and then what the last call left there.</param>
    /// <returns>How many pages were copied; 0 where the first one is not mapped.</returns>
    internal int Copy(PfnRun run, Span<byte> destination, ref int at)
    {
        at = Find(run.First, at);
        if (at == _pfns.Length || _pfns[at] != run.First || _places[at].Mapping == 0)
        {
            return 0;
        }

        Place first = _places[at];
        int count = 1, most = Math.Min(run.Count, _pfns.Length - at);
        while (count < most && _pfns[at + count] == run.First + count
            && _places[at + count] == first with { Index = first.Index + count })
        {
            count++;
        }

        _mappings[first.Mapping - 1].Pages(first.Index, count).CopyTo(destination);
        at += count;
        return count;
    }

    /// <inheritdoc/>
    public void Dispose() => _mappings.ForEach(m => m.Dispose());

    // The place of the first page that is not before this one. Most often it is where the caller is.
    private int Find(long pfn, int at)
    {
        int from = at > 0 && _pfns[at - 1] >= pfn ? 0 : at;
        if (from == at && (at == _pfns.Length || _pfns[at] >= pfn))
        {
            return at;
        }

        int found = Array.BinarySearch(_pfns, from, _pfns.Length - from, pfn);
        return found < 0 ? ~found : found;
    }

    /// <param name="Mapping">The number of the mapping, from 1 on; 0 where the page is in none.</param>
    /// <param name="Index">The page's place in it.</param>
    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Place(int Mapping, int Index);
}
