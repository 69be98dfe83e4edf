using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Frames of a domain, mapped side by side by <see cref="ForeignMemory.Map"/>.</summary>
/// <remarks>Views stay valid until the mapping is disposed; the caller keeps it alive while it uses one. Touching a
/// frame that was not mapped would kill the process, so views over such frames are refused.</remarks>
public sealed class ForeignMapping : ChildHandle
{
    private readonly ForeignAccess _access;

    // One bit a page, set where it could not be mapped; null where all pages are.
    private readonly ulong[]? _failed;

    internal ForeignMapping(ForeignMemory parent, nint address, ForeignAccess access, ReadOnlySpan<int> errors)
        : base(parent)
    {
        SetHandle(address);
        _access = access;
        PageCount = errors.Length;
        int firstError = errors.IndexOfAnyExcept(0);
        if (firstError < 0)
        {
            return;
        }

        _failed = new ulong[(errors.Length + 63) / 64];
        for (int i = firstError; i < errors.Length; i++)
        {
            if (errors[i] != 0)
            {
                _failed[i >> 6] |= 1UL << (i & 63);
                FailedCount++;
            }
        }
    }

    /// <summary>The number of frames asked for.</summary>
    public int PageCount { get; }

    /// <summary>The number of frames that could not be mapped.</summary>
    public int FailedCount { get; }

    /// <summary>True where the frame at <paramref name="index"/> is mapped.</summary>
    /// <param name="index">A place in the list of frames.</param>
    public bool IsMapped(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)PageCount, nameof(index));
        return _failed is null || (_failed[index >> 6] & (1UL << (index & 63))) == 0;
    }

    /// <summary>A view of consecutive frames.</summary>
    /// <param name="first">The place of the first frame.</param>
    /// <param name="count">The number of frames, all of them mapped.</param>
    /// <exception cref="InvalidOperationException">One of the frames is not mapped.</exception>
    public ReadOnlySpan<byte> Pages(int first, int count = 1) => View(first, count);

    /// <summary>A view of consecutive frames to write to.</summary>
    /// <param name="first">The place of the first frame.</param>
    /// <param name="count">The number of frames, all of them mapped.</param>
    /// <exception cref="InvalidOperationException">One of the frames is not mapped, or the mapping was made for
    /// reading.</exception>
    public Span<byte> WritablePages(int first, int count = 1)
    {
        if (_access != ForeignAccess.ReadWrite)
        {
            throw new InvalidOperationException("The mapping was made for reading.");
        }

        return View(first, count);
    }

    private protected override bool Release(nint parent) =>
        Xenforeignmemory.xenforeignmemory_unmap(parent, handle, (nuint)PageCount) == 0;

    private Span<byte> View(int first, int count)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, PageCount - count);
        for (int i = first; _failed is not null && i < first + count; i++)
        {
            if (!IsMapped(i))
            {
                throw new InvalidOperationException($"The frame at {i} is not mapped.");
            }
        }

        // unsafe: a span over native memory has no safe constructor. Safe: the range was checked against the mapping's
        // size, its frames are mapped, and the mapping was not closed.
        unsafe
        {
            return new Span<byte>(
                (byte*)handle + ((nint)first * ForeignMemory.PageSize), checked(count * ForeignMemory.PageSize));
        }
    }
}
