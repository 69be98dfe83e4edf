using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A dirty log of a model domain.</summary>
internal sealed class ModelDirtyLog(ModelGuest guest, long session, long pfnCount) : IDirtyLog
{
    private readonly ulong[] _words = new ulong[DirtyBitmap.WordsFor(pfnCount)];
    private bool _disposed;

    public long PfnCount => pfnCount;

    public DirtyBitmap Clean(bool final = false) => Read(ShadowOp.Clean, final);

    public DirtyBitmap Peek() => Read(ShadowOp.Peek, final: false);

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
        ObjectDisposedException.ThrowIf(_disposed, this);
        guest.ReadDirtyLog(session, op, _words, final);
        return new DirtyBitmap(_words, pfnCount);
    }
}
