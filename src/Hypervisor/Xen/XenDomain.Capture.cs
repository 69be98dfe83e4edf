using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <content>What is done ahead of a capture.</content>
internal sealed partial class XenDomain
{
    // HVM parameters (hvm/params.h) that name the pages of the xenstore and the console ring.
    private static readonly uint[] RingParameters = [1, 17];

    private Preparation? _prepared;

    /// <inheritdoc/>
    public void PrepareCapture(ReadOnlySpan<PfnRun> pages)
    {
        EndCapture();
        try
        {
            _hypervisor.Downs.Open();
            if (!CanCopyPages)
            {
                return;
            }

            Dictionary<uint, ulong> parameters = ReadParameters();
            var pfns = new SortedSet<long>();
            foreach (uint ring in RingParameters)
            {
                if (parameters.TryGetValue(ring, out ulong pfn))
                {
                    _ = pfns.Add((long)pfn);
                }
            }

            foreach (PfnRun run in pages)
            {
                for (long pfn = run.First; pfn < run.End; pfn++)
                {
                    _ = pfns.Add(pfn);
                }
            }

            // Read once already: the first call of a process takes longer.
            byte[] context = new byte[_xen.GetHvmContextLength(Domid)];
            _ = _xen.GetHvmContext(Domid, context);
            _ = _xen.GetTscInfo(Domid);
            _prepared = new Preparation(
                parameters, context,
                pfns.Count == 0 ? [] : [new PreparedPages(_memory, Domid, [.. pfns])]);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public int ExtendCapture(ReadOnlySpan<PfnRun> pages)
    {
        if (_prepared is not { } prepared || !CanCopyPages)
        {
            return 0;
        }

        var pfns = new List<long>();
        foreach (PfnRun run in pages)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                if (!prepared.Has(pfn))
                {
                    pfns.Add(pfn);
                }
            }
        }

        if (pfns.Count == 0)
        {
            return 0;
        }

        pfns.Sort();
        try
        {
            prepared.Mappings.Add(new PreparedPages(_memory, Domid, [.. pfns]));
            return pfns.Count;
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public void EndCapture()
    {
        _prepared?.Mappings.ForEach(m => m.Dispose());
        _prepared = null;
    }

    // Those that libxenguest saves: addresses and event channels that libxl sets when it builds the domain.
    private Dictionary<uint, ulong> ReadParameters()
    {
        var parameters = new Dictionary<uint, ulong>();
        if (Kind != GuestKind.Pv)
        {
            foreach (uint index in XenInterface.SavedHvmParams)
            {
                ulong value = _xen.GetHvmParam(Domid, index);
                if (value != 0)
                {
                    parameters.Add(index, value);
                }
            }
        }

        return parameters;
    }

    private sealed class Preparation(
        IReadOnlyDictionary<uint, ulong> parameters, byte[] context, List<PreparedPages> mappings)
    {
        private byte[]? _context = context;

        internal IReadOnlyDictionary<uint, ulong> Parameters => parameters;

        /// <summary>Pages that are mapped; a page is in one of them at most.</summary>
        internal List<PreparedPages> Mappings => mappings;

        /// <summary>True where an attempt was made to map a page.</summary>
        internal bool Has(long pfn)
        {
            foreach (PreparedPages mapping in mappings)
            {
                if (mapping.Has(pfn))
                {
                    return true;
                }
            }

            return false;
        }

        /// <summary>Copies a page. Allocates nothing; thread-safe while nothing is added.</summary>
        /// <param name="pfn">The page.</param>
        /// <param name="destination">Receives it.</param>
        /// <returns>False where it is not mapped.</returns>
        internal bool TryCopy(long pfn, Span<byte> destination)
        {
            foreach (PreparedPages mapping in mappings)
            {
                if (mapping.TryCopy(pfn, destination))
                {
                    return true;
                }
            }

            return false;
        }

        /// <summary>The buffer, once: what was captured belongs to whoever asked for it.</summary>
        internal byte[]? TakeContext() => Interlocked.Exchange(ref _context, null);
    }
}

/// <summary>Pages of a domain that are mapped ahead of being copied.</summary>
internal sealed class PreparedPages : IDisposable
{
    private readonly long[] _pfns;
    private readonly ForeignMapping _mapping;

    /// <summary>Maps the pages.</summary>
    /// <param name="memory">Access to guests' memory.</param>
    /// <param name="domid">The domain's id.</param>
    /// <param name="pfns">The pages, at least one, in ascending order.</param>
    internal PreparedPages(ForeignMemory memory, uint domid, long[] pfns)
    {
        _pfns = pfns;
        _mapping = memory.Map(
            domid, ForeignAccess.Read, Array.ConvertAll(pfns, p => (ulong)p), new int[pfns.Length]);
    }

    /// <summary>True where the page is one of them, mapped or not.</summary>
    internal bool Has(long pfn) => Array.BinarySearch(_pfns, pfn) >= 0;

    /// <summary>Copies a page. Allocates nothing; thread-safe.</summary>
    /// <param name="pfn">The page.</param>
    /// <param name="destination">Receives it.</param>
    /// <returns>False where it is not mapped.</returns>
    internal bool TryCopy(long pfn, Span<byte> destination)
    {
        int index = Array.BinarySearch(_pfns, pfn);
        if (index < 0 || !_mapping.IsMapped(index))
        {
            return false;
        }

        _mapping.Pages(index).CopyTo(destination);
        return true;
    }

    /// <inheritdoc/>
    public void Dispose() => _mapping.Dispose();
}
