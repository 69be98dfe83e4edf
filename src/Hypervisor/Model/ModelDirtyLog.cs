using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A dirty log of a model domain.</summary>
internal sealed class ModelDirtyLog(ModelGuest guest, long session, long pfnCount) : IDirtyLog
{
    private readonly ulong[] _words = new ulong[DirtyBitmap.WordsFor(pfnCount)];
    private bool _lost;
    private bool _disposed;

    public long PfnCount => pfnCount;

    public DirtyBitmap Clean(bool final = false) => Read(ShadowOp.Clean, final);

    public DirtyBitmap Peek() => Read(ShadowOp.Peek, final: false);

    public void RequireWhole()
    {
        ThrowIfUseless();
        try
        {
            guest.RequireDirtyLog(session);
        }
        catch (DirtyLogLostException)
        {
            _lost = true;
            throw;
        }
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            guest.StopDirtyLog(session);
        }
    }

    private DirtyBitmap Read(ShadowOp op, bool final)
    {
        ThrowIfUseless();
        try
        {
            guest.ReadDirtyLog(session, op, _words, final);
        }
        catch (DirtyLogLostException)
        {
            _lost = true;
            throw;
        }

        return new DirtyBitmap(_words, pfnCount);
    }

    // A log that is known to be lost stays so, for final readings too.
    private void ThrowIfUseless()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_lost)
        {
            throw new DirtyLogLostException(guest.Name);
        }
    }
}
