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
            var prepared = new Preparation(parameters, context);
            prepared.Known.Map(_memory, Domid, [.. pfns]);
            _prepared = prepared;
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
                if (!prepared.Known.Has(pfn) && !prepared.Added.Has(pfn))
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
            prepared.Added.Map(_memory, Domid, [.. pfns]);
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
        _prepared?.Known.Dispose();
        _prepared?.Added.Dispose();
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

    private sealed class Preparation(IReadOnlyDictionary<uint, ulong> parameters, byte[] context)
    {
        private byte[]? _context = context;

        internal IReadOnlyDictionary<uint, ulong> Parameters => parameters;

        /// <summary>What was mapped at first, and stays as it is.</summary>
        internal PreparedPages Known { get; } = new();

        /// <summary>What came since, some pages at a time; none of those in <see cref="Known"/>.</summary>
        internal PreparedPages Added { get; } = new();

        /// <summary>The buffer, once: what was captured belongs to whoever asked for it.</summary>
        internal byte[]? TakeContext() => Interlocked.Exchange(ref _context, null);
    }
}
