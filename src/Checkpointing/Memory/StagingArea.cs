using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>
/// Memory for the residual pages of all domains of a node: filled while they are suspended, written out afterwards.
/// </summary>
/// <remarks>Made before anything is suspended, and resident where the process may lock memory: a page fault inside the
/// window would cost more than the copy of a page.</remarks>
internal sealed class StagingArea : IDisposable
{
    private readonly AnonymousMapping _memory;
    private int _used;

    /// <summary>Makes the area.</summary>
    /// <param name="pages">How many pages of 4 KiB it holds; at most 2^31 bytes / 4 KiB for each domain's share.</param>
    internal StagingArea(int pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        Pages = pages;
        _memory = new AnonymousMapping((long)pages * PageSize.Bytes);
        try
        {
            _memory.Lock();
        }
        catch (IOException)
        {
            // Not allowed to lock that much: touching each page makes it resident for as long as memory is not short.
            for (int page = 0; page < pages; page++)
            {
                _memory.Span((long)page * PageSize.Bytes, 1)[0] = 0;
            }
        }
    }

    /// <summary>How many pages the area holds.</summary>
    internal int Pages { get; }

    /// <summary>Takes room. Thread-safe; allocates nothing.</summary>
    /// <param name="pages">How many pages.</param>
    /// <param name="first">The first page of the room.</param>
    /// <returns>False where there is not enough left.</returns>
    internal bool TryReserve(int pages, out int first)
    {
        first = Interlocked.Add(ref _used, pages) - pages;
        return first + (long)pages <= Pages;
    }

    /// <summary>The bytes of pages.</summary>
    /// <param name="first">The first page.</param>
    /// <param name="pages">How many; at most half a million, so that their bytes fit a span.</param>
    internal Span<byte> Span(int first, int pages) =>
        _memory.Span((long)first * PageSize.Bytes, pages * PageSize.Bytes);

    /// <summary>Forgets all that was reserved.</summary>
    internal void Clear() => Volatile.Write(ref _used, 0);

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();
}

/// <summary>The size of a page of guest memory.</summary>
internal static class PageSize
{
    /// <summary>4 KiB: Xen's <c>XC_PAGE_SIZE</c> on x86.</summary>
    internal const int Bytes = 4096;
}
