using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What Xen offers any program of the control domain on the log-dirty mode of one domain, whoever switched it on:
/// operations without an owner, of which <see cref="OwnedDirtyLog"/> makes a log that has one.</summary>
/// <remarks>Every member may throw <see cref="DomainNotFoundException"/>, and <see cref="HypervisorException"/> where the
/// hypervisor says no.</remarks>
internal interface IShadowLog : IDisposable
{
    /// <summary>What messages call the domain.</summary>
    string Label { get; }

    /// <summary>Pages by which an owner may know its log, lowest first: the guest has no reason to write them. Some may not
    /// be populated. None where pages cannot be marked (PV).</summary>
    IReadOnlyList<long> MarkCandidates { get; }

    /// <summary>True where another program saves or migrates the domain just now.</summary>
    bool IsBeingSaved { get; }

    /// <summary>The highest PFN in use plus one.</summary>
    long GetPfnCount();

    /// <summary>Switches the mode on, with an empty log.</summary>
    /// <returns>False where it is on already: nothing changed.</returns>
    bool TryEnable();

    /// <summary>Switches the mode off, whoever switched it on; the log is gone.</summary>
    void Off();

    /// <summary>The memory that <see cref="Read"/> fills: a bit a page, least significant first.</summary>
    /// <param name="pages">The pages that there has to be room for; what it held may be gone where there was not.</param>
    Span<ulong> Buffer(long pages);

    /// <summary>Reads the first pages of the log. Where the mode is off, nothing is dirty; of a dying domain the buffer
    /// stays as it was. Neither is an error.</summary>
    /// <param name="pages">How many.</param>
    /// <param name="clean">Forgets what it read (CLEAN); otherwise keeps it (PEEK).</param>
    /// <param name="final">Marks the hypervisor's own writable mappings first.</param>
    void Read(long pages, bool clean, bool final);

    /// <summary>Marks pages dirty, those of them that are populated. Does nothing where the mode is off.</summary>
    /// <param name="pages">Pages below the last PFN, which Xen refuses.</param>
    void Mark(ReadOnlySpan<PfnRun> pages);

    /// <summary>Makes sure that the domain is there and not dying.</summary>
    void RequireAlive();
}
