using System.Runtime.InteropServices;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Memory;

/// <summary>Private anonymous memory from <c>mmap</c>: zero-filled, page-aligned, committed on first touch.</summary>
/// <remarks>
/// Memory outside the garbage collector's heap: it does not move, may be larger than an array, and untouched
/// pages cost nothing, so a sparse guest of 64 GiB fits into a model.
/// unsafe: libc takes pointers, and a span over native memory has no safe constructor. Safe: the address and the length are
/// those of the mapping, which stands until the handle is released.
/// </remarks>
public sealed unsafe class AnonymousMapping : SafeHandle
{
    /// <summary>Maps <paramref name="length"/> bytes.</summary>
    /// <param name="length">Bytes, positive; rounded up to whole pages by the kernel.</param>
    /// <exception cref="IOException">The kernel refused the mapping.</exception>
    public AnonymousMapping(long length)
        : base(nint.Zero, ownsHandle: true)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        Length = length;
        void* address = LibC.mmap(
            null, Bytes, LibC.PROT_READ | LibC.PROT_WRITE,
            LibC.MAP_PRIVATE | LibC.MAP_ANONYMOUS | LibC.MAP_NORESERVE, -1, 0);
        if (address == LibC.MAP_FAILED)
        {
            throw Failed("map", length);
        }

        // Guests' memory holds their secrets and does not belong into a core dump. A kernel that refuses the advice
        // leaves the mapping as good as without it.
        _ = LibC.madvise(address, Bytes, LibC.MADV_DONTDUMP);
        SetHandle((nint)address);
    }

    /// <summary>The length of the mapping in bytes.</summary>
    public long Length { get; }

    private size_t Bytes => (size_t)(ulong)Length;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>A view of <paramref name="length"/> bytes from <paramref name="offset"/>.</summary>
    /// <param name="offset">Bytes from the start of the mapping.</param>
    /// <param name="length">Bytes; the range must lie inside the mapping.</param>
    /// <remarks>The caller keeps the mapping alive (undisposed) while it uses the view.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the mapping.</exception>
    /// <exception cref="ObjectDisposedException">The mapping is disposed.</exception>
    public Span<byte> Span(long offset, int length)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, Length - length);

        // The range was checked against the mapping's length above, and the mapping was not closed.
        return new Span<byte>((byte*)handle + offset, length);
    }

    /// <summary>Faults all pages in and keeps them in memory, so that using them neither waits nor fails.</summary>
    /// <exception cref="IOException">There is not enough memory, or the process may not lock that much
    /// (RLIMIT_MEMLOCK; systemd: LimitMEMLOCK=).</exception>
    /// <exception cref="ObjectDisposedException">The mapping is disposed.</exception>
    public void Lock()
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        if (LibC.mlock((void*)handle, Bytes) != 0)
        {
            throw Failed("lock", Length);
        }
    }

    /// <summary>Gives the pages back to the kernel: the mapping reads as zeros again and costs nothing.</summary>
    /// <exception cref="IOException">The pages are locked.</exception>
    /// <exception cref="ObjectDisposedException">The mapping is disposed.</exception>
    public void Discard()
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        if (LibC.madvise((void*)handle, Bytes, LibC.MADV_DONTNEED) != 0)
        {
            throw Failed("discard", Length);
        }
    }

    private static IOException Failed(string verb, long length) =>
        new($"Could not {verb} {length} bytes of memory: {Errno.Describe(Marshal.GetLastPInvokeError())}.");

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => LibC.munmap((void*)handle, Bytes) == 0;
}
