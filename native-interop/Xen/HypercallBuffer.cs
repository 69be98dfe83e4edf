using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Page-aligned memory that the hypervisor may write directly, zeroed when it is made.</summary>
public sealed class HypercallBuffer : ChildHandle
{
    /// <summary>The longest buffer, in bytes: what rounds up to whole pages and can still be viewed.</summary>
    [NotInC("A limit of spans.")]
    public const int MaxLength = int.MaxValue - Xenctrl.XC_PAGE_SIZE + 1;

    private readonly int _pages;
    private XcHypercallBuffer _descriptor = new() { ubuf = -1 };

    /// <summary>Allocates a buffer.</summary>
    /// <param name="xen">The interface that uses it; stays open at least as long as the buffer.</param>
    /// <param name="length">Bytes, 1 to <see cref="MaxLength"/>; rounded up to whole pages.</param>
    /// <exception cref="XenException">There is no memory that can be locked.</exception>
    public HypercallBuffer(XenInterface xen, int length)
        : base(Checked(xen, length))
    {
        _pages = (length + Xenctrl.XC_PAGE_SIZE - 1) / Xenctrl.XC_PAGE_SIZE;
        nint address = Xenctrl.xc__hypercall_buffer_alloc_pages(xen, ref _descriptor, _pages);
        if (address == nint.Zero)
        {
            Abandon();
            XenErrors.Throw(XenErrorSource.Hypercall, $"allocate {_pages} pages for hypercalls");
        }

        SetHandle(address);
    }

    /// <summary>The length in bytes: whole pages.</summary>
    public int Length => _pages * Xenctrl.XC_PAGE_SIZE;

    /// <summary>The buffer's contents.</summary>
    /// <remarks>The caller keeps the buffer alive (undisposed) while it uses the view.</remarks>
    /// <exception cref="ObjectDisposedException">The buffer is disposed.</exception>
    public Span<byte> Bytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);

            // unsafe: a span over native memory has no safe constructor. Safe: the allocation is Length bytes long,
            // and was not closed.
            unsafe
            {
                return new Span<byte>((void*)handle, Length);
            }
        }
    }

    /// <summary>The buffer's contents as 64-bit words; see <see cref="Bytes"/>.</summary>
    public Span<ulong> Words => MemoryMarshal.Cast<byte, ulong>(Bytes);

    /// <summary>What libxenctrl knows the buffer by.</summary>
    internal ref XcHypercallBuffer Descriptor => ref _descriptor;

    private protected override bool Release(nint parent)
    {
        Xenctrl.xc__hypercall_buffer_free_pages(parent, ref _descriptor, _pages);
        return true;
    }

    // The base class takes a reference on the interface, which a constructor that throws later would have to give back.
    private static XenInterface Checked(XenInterface xen, int length)
    {
        ArgumentNullException.ThrowIfNull(xen);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxLength);
        return xen;
    }
}
