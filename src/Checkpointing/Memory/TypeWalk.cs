using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>Reads the types of a domain's pages, block by block: first where pages are known to be, and the holes between
/// them only where the hypervisor has allocated more or fewer pages than were found.</summary>
/// <remarks>A guest's physical map has its own pages at the top, just below 4 GiB, so a small guest's map is nearly all
/// hole: 1,044,480 PFNs for 24,592 pages. A page that left and another that came into a hole show as well: the first is
/// missing where it was. Allocates nothing.</remarks>
internal ref struct TypeWalk
{
    /// <summary>PFNs read by one call: the most that Xen takes is 1,024, this is sixteen such calls.</summary>
    internal const int Batch = 16384;

    /// <summary>PFNs that are looked at or passed over together: as many as one of Xen's calls takes.</summary>
    private const int Block = 1024;

    private readonly IDomain _domain;
    private readonly PageSet _known;
    private readonly PageType[] _buffer;
    private readonly long _pfnCount;
    private long _position;
    private long _nextKnown;
    private long _found;
    private bool _holes;

    /// <summary>Begins a walk.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="known">PFNs that were populated when last looked at; may change in the blocks that were visited.
    /// </param>
    /// <param name="buffer">Receives types; <see cref="Batch"/> long.</param>
    internal TypeWalk(IDomain domain, PageSet known, PageType[] buffer)
    {
        _domain = domain;
        _known = known;
        _buffer = buffer;
        _pfnCount = known.PfnCount;
        _nextKnown = NextKnown(0);
    }

    /// <summary>The first PFN of <see cref="Types"/>.</summary>
    internal long First { get; private set; }

    /// <summary>The types of consecutive PFNs.</summary>
    internal ReadOnlySpan<PageType> Types { get; private set; }

    /// <summary>True for a page that a checkpoint holds.</summary>
    internal static bool IsPopulated(PageType type) => type is not (PageType.Unpopulated or PageType.Broken);

    /// <summary>Reads the next types.</summary>
    /// <returns>False where the walk is at its end.</returns>
    internal bool MoveNext()
    {
        while (!FindStretch())
        {
            if (_holes || _found == _domain.GetPageCount())
            {
                return false;
            }

            _holes = true;
            _position = 0;
            _nextKnown = NextKnown(0);
        }

        int length = (int)Math.Min(_position - First, _pfnCount - First);
        Span<PageType> types = _buffer.AsSpan(0, length);
        _domain.GetPageTypes(First, types);
        foreach (PageType type in types)
        {
            _found += IsPopulated(type) ? 1 : 0;
        }

        Types = types;
        return true;
    }

    // The next blocks that are of the kind wanted now, as far as one call reaches: First to _position.
    private bool FindStretch()
    {
        while (_position < _pfnCount && BlockIsKnown() == _holes)
        {
            _position += Block;
        }

        First = _position;
        while (_position < _pfnCount && _position - First < Batch && BlockIsKnown() != _holes)
        {
            _position += Block;
        }

        return _position > First;
    }

    private bool BlockIsKnown()
    {
        if (_nextKnown < _position)
        {
            _nextKnown = NextKnown(_position);
        }

        return _nextKnown < _position + Block;
    }

    private readonly long NextKnown(long from)
    {
        DirtyRuns runs = _known.View.EnumerateRuns(Math.Min(from, _pfnCount), 1);
        return runs.MoveNext() ? runs.Current.First : long.MaxValue;
    }
}
