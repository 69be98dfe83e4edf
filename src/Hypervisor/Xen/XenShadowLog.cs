using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Xen's log-dirty mode of one domain.</summary>
/// <param name="xen">The hypervisor.</param>
/// <param name="marker">Marks pages.</param>
/// <param name="domain">The domain.</param>
internal sealed class XenShadowLog(XenInterface xen, DeviceModel marker, XenDomain domain) : IShadowLog
{
    private HypercallBuffer? _bitmap;

    /// <inheritdoc/>
    public string Label => domain.Label;

    /// <inheritdoc/>
    /// <remarks>The first two pages: where a PC has its interrupt vectors and firmware tables; Linux takes the first for
    /// reserved and, since 5.13, the first MiB. And the page for a pager's ring, which libxenguest sets aside in every guest
    /// and the guest itself never sees. Two kinds, so that a guest which does write low memory is not trusted for it.
    /// </remarks>
    public IReadOnlyList<long> MarkCandidates => domain.Kind == GuestKind.Pv
        ? []
        : Ask(() => xen.GetHvmParam(Domid, XenInterface.PagingRingParam)) is > 1 and { } ring
            ? [0, 1, (long)ring]
            : [0, 1];

    /// <inheritdoc/>
    public bool IsBeingSaved => new XlSaves().Include(domain.Id);

    private uint Domid => (uint)domain.Id;

    /// <inheritdoc/>
    public long GetPfnCount() => Ask(() => xen.GetPfnCount(Domid));

    /// <inheritdoc/>
    public bool TryEnable() => Ask(() => xen.TryEnableLogDirty(Domid));

    /// <inheritdoc/>
    public void Off() => Ask(() =>
    {
        xen.DisableLogDirty(Domid);
        return true;
    });

    /// <inheritdoc/>
    public Span<ulong> Buffer(long pages)
    {
        int bytes = checked(DirtyBitmap.WordsFor(pages) * sizeof(ulong));
        if (_bitmap is null || _bitmap.Length < bytes)
        {
            var larger = new HypercallBuffer(xen, bytes);
            _bitmap?.Dispose();
            _bitmap = larger;
        }

        return _bitmap.Words;
    }

    /// <inheritdoc/>
    public void Read(long pages, bool clean, bool final)
    {
        try
        {
            _ = Buffer(pages);
            ulong covered = xen.ReadLogDirty(Domid, _bitmap!, (ulong)pages, clean, final, out _);
            if ((long)covered < pages)
            {
                throw new HypervisorException(
                    $"Xen's dirty log of domain {Label} covers {covered} of its {pages} page frames.");
            }
        }
        catch (XenException e)
        {
            throw domain.Translate(e);
        }
    }

    /// <inheritdoc/>
    public void Mark(ReadOnlySpan<PfnRun> pages)
    {
        try
        {
            marker.MarkModified(Domid, pages);
        }
        catch (XenException e)
        {
            throw domain.Translate(e);
        }
    }

    /// <inheritdoc/>
    public void RequireAlive()
    {
        if (!Ask(() => xen.TryGetDomain(Domid, out XcDomainInfo info) && info.Uuid == domain.Uuid && !info.IsDying))
        {
            throw new DomainNotFoundException(Label);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _bitmap?.Dispose();

    private T Ask<T>(Func<T> question)
    {
        try
        {
            return question();
        }
        catch (XenException e)
        {
            throw domain.Translate(e);
        }
    }
}
