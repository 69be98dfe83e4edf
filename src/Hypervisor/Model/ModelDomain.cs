using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A daemon's handle to a model domain.</summary>
internal sealed class ModelDomain(ModelGuest guest) : IDomain
{
    private bool _disposed;

    public Guid Uuid => guest.Uuid;

    public int Id => guest.Id;

    public GuestKind Kind => guest.Kind;

    public bool CanCopyPages => guest.Kind != GuestKind.Pv;

    private ModelGuest Guest
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return guest;
        }
    }

    public DomainInfo GetInfo() => Guest.GetInfo();

    public long GetPfnCount() =>
        Guest.IsDestroyed ? throw new DomainNotFoundException(guest.Uuid.ToString()) : guest.PfnCount;

    public long GetPageCount() => Guest.GetInfo().MemoryPages;

    public void GetPageTypes(long first, Span<PageType> types) => Guest.GetPageTypes(first, types);

    public int CopyPages(ReadOnlySpan<PfnRun> runs, Span<byte> destination, ICollection<long> unread)
    {
        ArgumentNullException.ThrowIfNull(unread);
        return Guest.CopyPages(runs, destination, unread);
    }

    public void PrepareCapture(ReadOnlySpan<PfnRun> pages) => Guest.PrepareCapture(pages);

    public int ExtendCapture(ReadOnlySpan<PfnRun> pages) => Guest.ExtendCapture(pages);

    public void EndCapture() => Guest.EndCapture();

    public IDirtyLog StartDirtyLog() => Guest.StartDirtyLog();

    public Task SuspendAsync(TimeSpan timeout, CancellationToken cancellationToken = default) =>
        Guest.SuspendAsync(timeout, cancellationToken);

    public bool MaySuspend => Guest.MaySuspend;

    public SuspendRemains UndoSuspend() => Guest.UndoSuspend();

    public void Resume() => Guest.Resume();

    public DomainRegisters CaptureRegisters() => Guest.CaptureRegisters();

    public DomainConfiguration GetConfiguration(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Guest.GetConfiguration();
    }

    public void SaveStream(SafeFileHandle output, Action suspend)
    {
        ArgumentNullException.ThrowIfNull(suspend);
        if (CanCopyPages)
        {
            throw new NotSupportedException($"Domain {guest.Name} is no PV guest: its pages are copied.");
        }

        // A pipe, which stays the caller's.
        using var handle = new SafeFileHandle(output.DangerousGetHandle(), ownsHandle: false);
        using var stream = new FileStream(handle, FileAccess.Write, bufferSize: 0);
        ModelPvStream.Write(Guest, stream, suspend);
    }

    public bool StopDirtyLog() => Guest.StopAnyDirtyLog();

    public void Unpause() => Guest.Unpause();

    public void Destroy()
    {
        if (Guest.IsDestroyed)
        {
            throw new DomainNotFoundException(guest.Uuid.ToString());
        }

        guest.Dispose();
    }

    public void Dispose() => _disposed = true;
}
