namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Who holds a writable mapping of a guest page.</summary>
public enum MappingOwner
{
    /// <summary>A backend, through a grant. Dirty when it is unmapped, and not before: no part of FINAL.</summary>
    Backend,

    /// <summary>The hypervisor (<c>hvm_map_guest_frame_rw</c>, permanent). Dirty when it is unmapped, and with
    /// FINAL (<c>hvm_mapped_guest_frames_mark_dirty</c>).</summary>
    Hypervisor,
}

/// <summary>A guest page mapped writable outside the guest. Writes through it are not logged.</summary>
public sealed class WritableMapping : IDisposable
{
    private readonly ModelGuest _guest;
    private int _disposed;

    internal WritableMapping(ModelGuest guest, long pfn, MappingOwner owner)
    {
        _guest = guest;
        Pfn = pfn;
        Owner = owner;
    }

    /// <summary>The page that is mapped.</summary>
    public long Pfn { get; }

    /// <summary>Who mapped it.</summary>
    public MappingOwner Owner { get; }

    /// <summary>Writes the page; the dirty log does not see it.</summary>
    /// <param name="offset">Bytes from the start of the page.</param>
    /// <param name="data">What to write; ends inside the page.</param>
    public void Write(int offset, ReadOnlySpan<byte> data)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        _guest.WriteUnlogged(Pfn, offset, data);
    }

    /// <summary>Unmaps the page, which marks it dirty.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _guest.Unmap(this);
        }
    }
}
