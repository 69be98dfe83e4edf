namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Log-dirty operations, with the numbers of <c>XEN_DOMCTL_SHADOW_OP_*</c>.</summary>
public enum ShadowOp
{
    /// <summary>Ends log-dirty mode and frees the bitmap, whoever began it.</summary>
    Off = 0,

    /// <summary>Begins log-dirty mode with an empty bitmap.</summary>
    EnableLogDirty = 2,

    /// <summary>Reads the bitmap and clears it.</summary>
    Clean = 11,

    /// <summary>Reads the bitmap.</summary>
    Peek = 12,
}

/// <summary>Xen's log-dirty mode of one domain, as <c>xen/arch/x86/mm/paging.c</c> implements it: it has no owner, and knows
/// of none. The caller holds the domain's lock, which stands for <c>domain_pause</c>.</summary>
/// <param name="capacity">The most PFNs that the domain can have.</param>
internal sealed class LogDirty(long capacity)
{
    internal const int EINVAL = 22;

    /// <summary>PFNs of a leaf of Xen's bitmap, a page of bits: CLEAN clears whole leaves.</summary>
    private const int LeafPfns = 4096 * 8;

    /// <summary>PFNs populated since the last CLEAN. Xen adds them writable (<c>p2m_ram_rw</c>), so that writes
    /// to them do not fault and leave no trace until a CLEAN write-protects everything again.</summary>
    private readonly HashSet<long> _unprotected = [];
    private ulong[]? _bitmap;

    internal bool Enabled { get; private set; }

    /// <summary>Told of every operation before it happens.</summary>
    internal Action<ShadowOp>? Watch { get; set; }

    /// <summary>Runs one operation.</summary>
    /// <param name="op">The operation.</param>
    /// <param name="destination">Receives the first words of the bitmap of CLEAN and PEEK, as many as it has.</param>
    /// <returns>0, or <c>-EINVAL</c> for ENABLE in log-dirty mode. CLEAN and PEEK succeed outside log-dirty mode
    /// too and return an empty bitmap: <c>paging_log_dirty_op</c> does not check the mode.</returns>
    internal int Control(ShadowOp op, Span<ulong> destination)
    {
        Watch?.Invoke(op);
        switch (op)
        {
            case ShadowOp.EnableLogDirty:
                if (Enabled)
                {
                    return -EINVAL;
                }

                Enabled = true;
                _unprotected.Clear();
                _bitmap ??= new ulong[(capacity + 63) / 64];
                return 0;

            case ShadowOp.Off:
                Enabled = false;
                _unprotected.Clear();
                _bitmap.AsSpan().Clear();
                return 0;

            case ShadowOp.Clean:
            case ShadowOp.Peek:
                destination.Clear();
                Span<ulong> bitmap = _bitmap;
                bitmap[..Math.Min(bitmap.Length, destination.Length)].CopyTo(destination);
                if (op == ShadowOp.Clean)
                {
                    int leaves = (destination.Length + (LeafPfns / 64) - 1) / (LeafPfns / 64);
                    bitmap[..Math.Min(bitmap.Length, leaves * (LeafPfns / 64))].Clear();
                    _unprotected.Clear();
                }

                return 0;

            default:
                return -EINVAL;
        }
    }

    /// <summary>Marks a page dirty in the hypervisor's own name (<c>paging_mark_pfn_dirty</c>).</summary>
    internal void Mark(long pfn)
    {
        if (Enabled)
        {
            _bitmap![pfn >> 6] |= 1UL << (int)(pfn & 63);
        }
    }

    /// <summary>Records a write by the guest.</summary>
    internal void GuestWrites(long pfn)
    {
        if (!Enabled)
        {
            return;
        }

        ref ulong word = ref _bitmap![pfn >> 6];
        ulong bit = 1UL << (int)(pfn & 63);
        if ((word & bit) == 0 && (_unprotected.Count == 0 || !_unprotected.Contains(pfn)))
        {
            word |= bit;
        }
    }

    /// <summary>Records that a PFN was populated. The bitmap does not change.</summary>
    internal void Populated(long pfn)
    {
        if (Enabled)
        {
            _unprotected.Add(pfn);
        }
    }

    /// <summary>Records that a PFN was emptied. Its bit, if set, stays set.</summary>
    internal void Unpopulated(long pfn) => _unprotected.Remove(pfn);
}
