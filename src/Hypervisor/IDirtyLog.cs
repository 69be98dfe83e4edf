using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>
/// A recording of the pages that a domain writes (Xen's log-dirty mode). One thread uses it at a time.
/// </summary>
/// <remarks>
/// Two kinds of change leave no trace in a log (Xen, docs/features/migration): pages that enter or leave the
/// physical map, and ballooning of PV guests. They are found by comparing page types. Pages that a backend still
/// has mapped writable through a grant show up when it unmaps them, or in a final <see cref="Clean"/>.
/// </remarks>
public interface IDirtyLog : IDisposable
{
    /// <summary>The number of PFNs that the log covers; fixed when it was started.</summary>
    long PfnCount { get; }

    /// <summary>Reads the pages written since the last <see cref="Clean"/>, and forgets them.</summary>
    /// <param name="final">For a suspended domain: counts Xen's own writable mappings of guest pages as written.</param>
    /// <returns>The pages; valid until the next call on this log.</returns>
    /// <exception cref="DirtyLogLostException">The log was taken over or switched off by somebody else, so pages
    /// are missing from it: only a full copy of memory is complete now.</exception>
    DirtyBitmap Clean(bool final = false);

    /// <summary>Reads the pages written since the last <see cref="Clean"/> and keeps them in the log.</summary>
    /// <returns>The pages; valid until the next call on this log.</returns>
    /// <exception cref="DirtyLogLostException">As for <see cref="Clean"/>.</exception>
    DirtyBitmap Peek();
}
