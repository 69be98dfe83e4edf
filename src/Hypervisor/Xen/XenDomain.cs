using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>A domain of the Xen host.</summary>
internal sealed partial class XenDomain : IDomain
{
    /// <summary>Pages mapped by one call: 4 MiB of address space, beyond which larger batches gain nothing, and
    /// 12 KiB of frame numbers and errors, which fit on the stack.</summary>
    private const int MapBatch = 1024;

    private readonly XenHypervisor _hypervisor;
    private readonly XenInterface _xen;
    private readonly ForeignMemory _memory;
    private readonly XenStore _store;
    private bool _disposed;

    internal XenDomain(
        XenHypervisor hypervisor, XenInterface xen, ForeignMemory memory, XenStore store, DomainInfo info)
    {
        _hypervisor = hypervisor;
        _xen = xen;
        _memory = memory;
        _store = store;
        Uuid = info.Uuid;
        Id = info.Id;
        Kind = info.Kind;
        Label = info.Name is null ? $"{info.Id}" : $"{info.Name} ({info.Id})";
    }

    /// <inheritdoc/>
    public Guid Uuid { get; }

    /// <inheritdoc/>
    public int Id { get; }

    /// <inheritdoc/>
    public GuestKind Kind { get; }

    /// <inheritdoc/>
    public bool CanCopyPages => Kind != GuestKind.Pv;

    /// <summary>What messages call the domain.</summary>
    internal string Label { get; }

    private uint Domid
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return (uint)Id;
        }
    }

    /// <inheritdoc/>
    public DomainInfo GetInfo()
    {
        try
        {
            return _hypervisor.TryGet(Domid, Uuid) ?? throw new DomainNotFoundException(Label);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public long GetPfnCount()
    {
        try
        {
            return _xen.GetPfnCount(Domid);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public long GetPageCount()
    {
        try
        {
            return _xen.TryGetDomain(Domid, out XcDomainInfo info) && info.Uuid == Uuid
                ? (long)info.TotalPages
                : throw new DomainNotFoundException(Label);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public void GetPageTypes(long first, Span<PageType> types)
    {
        RequireTranslated();
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        try
        {
            // Xen answers to a frame past the end of the physical map with an error for the whole batch.
            long populated = Math.Clamp(_xen.GetPfnCount(Domid) - first, 0, types.Length);
            types[(int)populated..].Fill(PageType.Unpopulated);
            types = types[..(int)populated];

            // PageType has the values of XEN_DOMCTL_PFINFO_* shifted right by 28, in a byte each.
            _xen.GetPageTypes(Domid, first, MemoryMarshal.AsBytes(types));
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public int CopyPages(ReadOnlySpan<PfnRun> runs, Span<byte> destination, ICollection<long> unread)
    {
        ArgumentNullException.ThrowIfNull(unread);
        RequireTranslated();
        RequireRoom(runs, destination);
        unread.Clear();
        Preparation? prepared = _prepared;
        Span<ulong> pfns = stackalloc ulong[MapBatch];
        Span<int> places = stackalloc int[MapBatch];
        Span<int> errors = stackalloc int[MapBatch];
        int copied = 0, filled = 0, place = 0, known = 0, added = 0;
        try
        {
            foreach (PfnRun run in runs)
            {
                PfnRun left = run;
                while (left.Count > 0)
                {
                    if (prepared is not null)
                    {
                        Span<byte> target = destination[(place * ForeignMemory.PageSize)..];
                        int pages = prepared.Known.Copy(left, target, ref known);
                        if (pages == 0)
                        {
                            pages = prepared.Added.Copy(left, target, ref added);
                        }

                        if (pages > 0)
                        {
                            copied += pages;
                            place += pages;
                            left = new PfnRun(left.First + pages, left.Count - pages);
                            continue;
                        }
                    }

                    pfns[filled] = (ulong)left.First;
                    places[filled++] = place++;
                    left = new PfnRun(left.First + 1, left.Count - 1);
                    if (filled == MapBatch)
                    {
                        copied += CopyBatch(pfns, places, destination, errors, unread);
                        filled = 0;
                    }
                }
            }

            return copied + CopyBatch(pfns[..filled], places[..filled], destination, errors[..filled], unread);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public IDirtyLog StartDirtyLog()
    {
        try
        {
            return new OwnedDirtyLog(new XenShadowLog(_xen, _hypervisor.Marker, this));
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public Task SuspendAsync(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(timeout, TimeSpan.Zero);
        return new XenSuspendRequest(_xen, _store, _hypervisor.Downs, this, timeout).RunAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public void Resume()
    {
        try
        {
            if (XenResumption.Of(Uuid).Resume(_xen, _store, Domid, Uuid))
            {
                return;
            }
        }
        catch (XenException e)
        {
            throw Translate(e);
        }

        throw new DomainNotFoundException(Label);
    }

    /// <inheritdoc/>
    public bool MaySuspend => XenResumption.Of(Uuid).IsWatching;

    /// <inheritdoc/>
    public SuspendRemains UndoSuspend()
    {
        try
        {
            return XenResumption.Of(Uuid).Undo(_xen, _store, Domid, Uuid) ?? throw new DomainNotFoundException(Label);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public DomainRegisters CaptureRegisters()
    {
        try
        {
            if (!_xen.TryGetDomain(Domid, out XcDomainInfo info) || !IsSuspended(info))
            {
                throw new InvalidOperationException($"Domain {Label} is not suspended.");
            }

            XcTscInfo tsc = _xen.GetTscInfo(Domid);
            IReadOnlyDictionary<uint, ulong> parameters = _prepared?.Parameters ?? ReadParameters();
            byte[] context = [];
            if (Kind != GuestKind.Pv)
            {
                context = _prepared?.TakeContext() ?? new byte[_xen.GetHvmContextLength(Domid)];
                int length = _xen.GetHvmContext(Domid, context);
                Array.Resize(ref context, length);
            }

            return new DomainRegisters(
                context, parameters, new TscInfo(tsc.Mode, tsc.ElapsedNanoseconds, tsc.KiloHertz, tsc.Incarnation));
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <summary>Closes this handle. The connections behind it are the hypervisor's.</summary>
    public void Dispose()
    {
        EndCapture();
        _disposed = true;
    }

    internal static bool IsSuspended(in XcDomainInfo info) =>
        info.IsShutdown && info.ShutdownReason == (int)XcShutdownReason.Suspend;

    internal HypervisorException Translate(XenException e) =>
        e is XenNotFoundException ? new DomainNotFoundException(Label, e) : new HypervisorException(e.Message, e);

    private static void RequireRoom(ReadOnlySpan<PfnRun> runs, Span<byte> destination)
    {
        long pages = 0;
        foreach (PfnRun run in runs)
        {
            if (run.Count <= 0 || run.First < 0)
            {
                throw new ArgumentException($"{run} is no run of pages.", nameof(runs));
            }

            pages += run.Count;
        }

        if (destination.Length < pages * ForeignMemory.PageSize)
        {
            throw new ArgumentException(
                $"{pages} pages do not fit into {destination.Length} bytes.", nameof(destination));
        }
    }

    private int CopyBatch(
        ReadOnlySpan<ulong> pfns, ReadOnlySpan<int> places, Span<byte> destination, Span<int> errors,
        ICollection<long> unread)
    {
        int copied = _memory.CopyScattered(Domid, pfns, places, destination, errors);
        for (int i = 0; copied < pfns.Length && i < pfns.Length; i++)
        {
            if (errors[i] != 0)
            {
                unread.Add((long)pfns[i]);
            }
        }

        return copied;
    }

    private void RequireTranslated()
    {
        if (!CanCopyPages)
        {
            throw new NotSupportedException(
                $"Domain {Label} is a PV guest: its memory is machine frames behind its own p2m, and is read through "
                + "libxenguest's saver.");
        }
    }
}
