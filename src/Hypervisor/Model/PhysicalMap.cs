using System.Collections.Immutable;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Which PFNs of a guest are populated: Xen's p2m, without the frames behind it.</summary>
internal sealed class PhysicalMap
{
    /// <summary>Where x86's hole for devices begins: RAM beyond it continues at 4 GiB
    /// (<c>HVM_BELOW_4G_RAM_END</c> in Xen's <c>hvm/e820.h</c>).</summary>
    internal const long MmioHoleFirst = 0xF0000;

    internal const long FourGiB = 0x100000;

    /// <summary>A PVH or HVM guest's special pages (rings, console, store) end here
    /// (<c>X86_HVM_END_SPECIAL_REGION</c> in libxenguest), so 0xff000 is a small guest's PFN count.</summary>
    internal const long SpecialEnd = 0xFF000;

    internal const int SpecialCount = 8;

    private readonly ulong[] _populated;
    private readonly long _leastPfns;

    /// <summary>Pages that are not <see cref="PageType.Normal"/>. Immutable: copying reads it without a lock.</summary>
    private ImmutableDictionary<long, PageType> _special = ImmutableDictionary<long, PageType>.Empty;

    /// <summary>Makes an empty map.</summary>
    /// <param name="kind">How the guest is virtualised.</param>
    /// <param name="ramPages">The RAM that the domain is made for: what its PFN count begins with.</param>
    /// <param name="mostRamPages">The RAM that it can grow to.</param>
    internal PhysicalMap(GuestKind kind, long ramPages, long mostRamPages)
    {
        Kind = kind;
        PfnCount = _leastPfns = CountFor(kind, ramPages);
        Capacity = Math.Max(PfnCount, CountFor(kind, mostRamPages));
        _populated = new ulong[(Capacity + 63) / 64];
    }

    internal GuestKind Kind { get; }

    /// <summary>The highest PFN in use plus one; rises and falls with the pages beyond what the domain was made with.</summary>
    internal long PfnCount { get; private set; }

    /// <summary>The most that <see cref="PfnCount"/> can be.</summary>
    internal long Capacity { get; }

    internal long PopulatedCount { get; private set; }

    /// <summary>The PFN of the <paramref name="index"/>-th page of RAM.</summary>
    internal static long RamPfn(GuestKind kind, long index) =>
        kind == GuestKind.Pv || index < MmioHoleFirst ? index : index - MmioHoleFirst + FourGiB;

    /// <summary>RAM that a domain with so many PFNs may have, at least.</summary>
    internal static long RamPages(GuestKind kind, long pfnCount) =>
        kind == GuestKind.Pv ? pfnCount : Math.Max(0, pfnCount - FourGiB + MmioHoleFirst);

    private static long CountFor(GuestKind kind, long ramPages) =>
        kind == GuestKind.Pv ? Math.Max(1, ramPages) : Math.Max(SpecialEnd, RamPfn(kind, ramPages));

    internal bool IsPopulated(long pfn) =>
        (ulong)pfn < (ulong)Capacity && (_populated[pfn >> 6] & (1UL << (int)(pfn & 63))) != 0;

    internal bool HasContents(long pfn) =>
        IsPopulated(pfn)
        && (_special.Count == 0
            || TypeOf(pfn) is not (PageType.Broken or PageType.AllocateOnly or PageType.Unpopulated));

    internal PageType TypeOf(long pfn)
    {
        if (!IsPopulated(pfn))
        {
            return PageType.Unpopulated;
        }

        return _special.GetValueOrDefault(pfn, PageType.Normal);
    }

    internal void SetType(long pfn, PageType type)
    {
        _special = type == PageType.Normal ? _special.Remove(pfn) : _special.SetItem(pfn, type);
    }

    /// <summary>Populates a PFN. False where it was populated already.</summary>
    internal bool Populate(long pfn)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((ulong)pfn, (ulong)Capacity, nameof(pfn));
        ref ulong word = ref _populated[pfn >> 6];
        ulong bit = 1UL << (int)(pfn & 63);
        if ((word & bit) != 0)
        {
            return false;
        }

        word |= bit;
        PopulatedCount++;
        PfnCount = Math.Max(PfnCount, pfn + 1);
        return true;
    }

    /// <summary>Empties a PFN. False where it was empty already.</summary>
    internal bool Unpopulate(long pfn)
    {
        if (!IsPopulated(pfn))
        {
            return false;
        }

        _populated[pfn >> 6] &= ~(1UL << (int)(pfn & 63));
        _special = _special.Remove(pfn);
        PopulatedCount--;
        while (PfnCount > _leastPfns && !IsPopulated(PfnCount - 1))
        {
            PfnCount--;
        }

        return true;
    }
}
