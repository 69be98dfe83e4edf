namespace XenTwoLevelCkpt.Control;

/// <summary>What <c>xtlctl dirty --json</c> prints.</summary>
/// <param name="Domain">The domain that was measured.</param>
/// <param name="PfnCount">The number of PFNs that the dirty log covers.</param>
/// <param name="Seconds">Time from the first to the last reading of the log.</param>
/// <param name="DirtyPages">Sum of the samples' dirty pages: a page that was dirty in two samples counts twice.</param>
/// <param name="DistinctPages">Pages that were dirty in at least one sample.</param>
/// <param name="PagesPerSecond"><paramref name="DirtyPages"/> by <paramref name="Seconds"/>.</param>
/// <param name="CopiedPages">Dirty pages that were copied, or null where the guest's pages cannot be copied.</param>
/// <param name="CopyMiBPerSecond">Copied bytes by the time that mapping and copying took, or null.</param>
/// <param name="Samples">One entry a sample.</param>
internal sealed record DirtyReport(
    DomainJson Domain,
    long PfnCount,
    double Seconds,
    long DirtyPages,
    long DistinctPages,
    double PagesPerSecond,
    long? CopiedPages,
    double? CopyMiBPerSecond,
    IReadOnlyList<DirtySample> Samples);

/// <summary>One reading of the dirty log.</summary>
/// <param name="AtSeconds">When it was read, from the first reading on.</param>
/// <param name="Pages">Pages written since the reading before.</param>
/// <param name="Runs">Runs of consecutive pages that these form.</param>
/// <param name="CopyMilliseconds">Time that mapping and copying them took, or null.</param>
internal sealed record DirtySample(double AtSeconds, long Pages, long Runs, double? CopyMilliseconds);
