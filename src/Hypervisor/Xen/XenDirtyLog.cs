using XenTwoLevelCkpt.NativeInterop.Memory;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Xen's log-dirty mode of one domain, owned by this process.</summary>
internal sealed class XenDirtyLog : IDirtyLog
{
    private readonly XenInterface _xen;
    private readonly XenDomain _domain;
    private HypercallBuffer _bitmap;
    private bool _lost;
    private bool _disposed;

    internal XenDirtyLog(XenInterface xen, XenDomain domain)
    {
        _xen = xen;
        _domain = domain;
        PfnCount = xen.GetPfnCount(Domid);
        _bitmap = BufferFor(PfnCount);
        try
        {
            xen.EnableLogDirty(Domid);
        }
        catch
        {
            _bitmap.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public long PfnCount { get; private set; }

    private uint Domid => (uint)_domain.Id;

    /// <inheritdoc/>
    public DirtyBitmap Clean(bool final = false) => Read(clean: true, final);

    /// <inheritdoc/>
    public DirtyBitmap Peek() => Read(clean: false, final: false);

    /// <inheritdoc/>
    public void RequireWhole()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ThrowIfLost();
        try
        {
            RequireOwned();
        }
        catch (XenException e)
        {
            throw _domain.Translate(e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        try
        {
            // A log that was lost may by now be somebody else's.
            if (!_lost)
            {
                _xen.DisableLogDirty(Domid);
            }
        }
        catch (XenNotFoundException)
        {
            // The domain is gone and its log with it.
        }
        catch (XenException e)
        {
            throw _domain.Translate(e);
        }
        finally
        {
            _bitmap.Dispose();
        }
    }

    private DirtyBitmap Read(bool clean, bool final)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ThrowIfLost();
        try
        {
            // Of three hypercalls that ask, a suspended guest would wait for each.
            if (!final)
            {
                Grow();
            }

            ulong covered = _xen.ReadLogDirty(Domid, _bitmap, (ulong)PfnCount, clean, final, out _);
            if (!final)
            {
                RequireOwned();
            }

            if ((long)covered < PfnCount)
            {
                throw new HypervisorException(
                    $"Xen's dirty log of domain {_domain.Label} covers {covered} of its {PfnCount} page frames.");
            }

            return new DirtyBitmap(_bitmap.Words[..DirtyBitmap.WordsFor(PfnCount)], PfnCount);
        }
        catch (XenException e)
        {
            throw _domain.Translate(e);
        }
    }

    private void ThrowIfLost()
    {
        if (_lost)
        {
            throw new DirtyLogLostException(_domain.Label);
        }
    }

    /// <summary>Xen answers a reading of a log that is off, or of a dying domain, with "nothing is dirty". Switching it on
    /// fails as long as it is on, so a success tells that it was off and pages are missing.</summary>
    private void RequireOwned()
    {
        if (!_xen.TryGetDomain(Domid, out XcDomainInfo info) || info.Uuid != _domain.Uuid || info.IsDying)
        {
            throw new DomainNotFoundException(_domain.Label);
        }

        if (_xen.TryEnableLogDirty(Domid))
        {
            _lost = true;
            _xen.DisableLogDirty(Domid);
            throw new DirtyLogLostException(_domain.Label);
        }
    }

    /// <summary>A guest may have been given memory above all that it had.</summary>
    private void Grow()
    {
        long count = _xen.GetPfnCount(Domid);
        if (count > PfnCount)
        {
            HypercallBuffer larger = BufferFor(count);
            _bitmap.Dispose();
            _bitmap = larger;
            PfnCount = count;
        }
    }

    private HypercallBuffer BufferFor(long pfnCount) =>
        new(_xen, checked(DirtyBitmap.WordsFor(pfnCount) * sizeof(ulong)));
}
