using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A native resource that can be released only while the handle it came from is open.</summary>
/// <remarks>It holds a reference on its parent until it is released itself, so the order in which a program, or the
/// finalizer, disposes the two does not matter.</remarks>
public abstract class ChildHandle : SafeHandle
{
    private readonly SafeHandle _parent;

    private protected ChildHandle(SafeHandle parent)
        : base(nint.Zero, ownsHandle: true)
    {
        bool added = false;
        parent.DangerousAddRef(ref added);
        _parent = parent;
    }

    /// <inheritdoc/>
    public sealed override bool IsInvalid => handle == nint.Zero;

    /// <summary>Releases the resource of <paramref name="parent"/>; true on success.</summary>
    private protected abstract bool Release(nint parent);

    /// <inheritdoc/>
    protected sealed override bool ReleaseHandle()
    {
        bool released = Release(_parent.DangerousGetHandle());
        _parent.DangerousRelease();
        return released;
    }

    /// <summary>Gives up the reference on the parent after a failed creation: an invalid handle is never released,
    /// so it would keep the parent open for ever.</summary>
    private protected void Abandon()
    {
        _parent.DangerousRelease();
        SetHandleAsInvalid();
    }
}
