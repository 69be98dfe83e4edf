using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Wakes one thread that waits for a descriptor besides.</summary>
internal sealed class Doorbell : IDisposable
{
    private readonly SafeFileHandle _event;

    internal Doorbell()
    {
        int fd = EventDescriptor.Make();
        if (fd < 0)
        {
            XenErrors.Throw(XenErrorSource.Device, "make an event descriptor");
        }

        _event = new SafeFileHandle(fd, ownsHandle: true);
    }

    /// <summary>What becomes readable; closed with this.</summary>
    internal SafeFileHandle Handle => _event;

    /// <summary>Wakes it, now or when it waits next.</summary>
    internal void Ring() => With(fd => _ = EventDescriptor.Set(fd));

    /// <summary>Makes it wait again.</summary>
    internal void Reset() => With(EventDescriptor.Clear);

    /// <inheritdoc/>
    public void Dispose() => _event.Dispose();

    private void With(Action<int> action)
    {
        bool added = false;
        try
        {
            _event.DangerousAddRef(ref added);
            action((int)_event.DangerousGetHandle());
        }
        catch (ObjectDisposedException)
        {
            // Nobody waits any more.
        }
        finally
        {
            if (added)
            {
                _event.DangerousRelease();
            }
        }
    }
}
