using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>
/// A recording of the pages that a domain writes (Xen's log-dirty mode). One thread uses it at a time.
/// </summary>
/// <remarks>
/// <para>
/// Two kinds of change leave no trace in a log (Xen, docs/features/migration): pages that enter or leave the
/// physical map, and ballooning of PV guests. They are found by comparing page types, except that a page taken
/// out and put back between two comparisons looks unchanged. A page that enters the map of a PVH or HVM guest
/// enters it writable, so that writes to it go unlogged too until the next <see cref="Clean"/>.
/// </para>
/// <para>
/// Pages that a backend has mapped writable through a grant show up when it unmaps them, and not before.
/// </para>
/// <para>
/// A log shows up to three pages that nobody wrote: marks by which it is known again.
/// </para>
/// </remarks>
public interface IDirtyLog : IDisposable
{
    /// <summary>The number of PFNs that the log covers. Rises with those of the domain, when the log is read.</summary>
    long PfnCount { get; }

    /// <summary>Reads the pages written since the last <see cref="Clean"/>, and forgets them.</summary>
    /// <param name="final">For a suspended domain: counts pages that Xen itself has mapped writable as written. The domain
    /// stands still for every question, so this reading does not ask how many PFNs the domain has by now, nor, where the log
    /// has no marks, whether it was lost: <see cref="RequireWhole"/> has to follow, and until it has, pages may be missing.
    /// </param>
    /// <returns>The pages; valid until the next call on this log.</returns>
    /// <exception cref="DirtyLogLostException">The log was taken over or switched off by somebody else, so pages are missing
    /// from it: only a full copy of memory is complete now. The log stays lost. What was read of another program's log is in
    /// that log again.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    DirtyBitmap Clean(bool final = false);

    /// <summary>Reads the pages written since the last <see cref="Clean"/> and keeps them in the log.</summary>
    /// <returns>The pages; valid until the next call on this log.</returns>
    /// <exception cref="DirtyLogLostException">As for <see cref="Clean"/>.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    DirtyBitmap Peek();

    /// <summary>Makes sure that what was read is all that was written. Follows a final <see cref="Clean"/>, at the latest
    /// before anybody relies on it; the domain may run again.</summary>
    /// <remarks>Of PFNs that the domain was given beyond <see cref="PfnCount"/>, <see cref="IDomain.GetPfnCount"/> tells.
    /// </remarks>
    /// <exception cref="DirtyLogLostException">As for <see cref="Clean"/>: pages may be missing from that reading.
    /// </exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    void RequireWhole();
}
