namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>Pages of one domain in one epoch, by what became of them.</summary>
/// <param name="Touched">Pages that samples found dirty, each as often as it was found.</param>
/// <param name="Hits">Touches of pages that were in the cache.</param>
/// <param name="Evicted">Pages that left the cache and were copied while the guest ran.</param>
/// <param name="InVain">Pages copied while the guest ran and dirtied again in the same epoch.</param>
/// <param name="Fed">Pages of a full checkpoint that were copied while the guest ran without having been dirty.
/// </param>
/// <param name="Residual">Pages copied while the guest was suspended.</param>
/// <param name="Unpopulated">Pages that left the guest's physical map.</param>
/// <param name="Samples">How often the dirty log was read.</param>
public sealed record MemoryStatistics(
    long Touched, long Hits, long Evicted, long InVain, long Fed, long Residual, long Unpopulated, long Samples)
{
    /// <summary>All pages that were copied.</summary>
    public long Copied => Evicted + Fed + Residual;
}
