using XenTwoLevelCkpt.Checkpointing.Cache;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>The memory of one domain from checkpoint to checkpoint.</summary>
/// <remarks>One thread uses it at a time.</remarks>
internal interface IMemoryCapture : IDisposable
{
    /// <summary>The number of PFNs: units of an image.</summary>
    long PfnCount { get; }

    /// <summary>Populated pages, as far as known.</summary>
    long PopulatedPages { get; }

    /// <summary>Pages of a full image that were not looked at yet.</summary>
    long FeedLeft { get; }

    /// <summary>Why pages may be missing, so that nothing but a full image of a memory captured anew is complete; null where
    /// none are.</summary>
    string? IncompleteBecause { get; }

    /// <summary>True once pages may be missing.</summary>
    bool IsIncomplete => IncompleteBecause is not null;

    /// <summary>The dirty-page cache; null where the hypervisor's library keeps track of pages.</summary>
    DirtyPageCache? Cache { get; }

    /// <summary>Counts of the open epoch.</summary>
    MemoryStatistics Statistics { get; }

    /// <summary>Opens an epoch.</summary>
    /// <param name="writer">The image that receives pages.</param>
    /// <param name="full">The image has to hold all pages, not only those that change from now on.</param>
    void BeginEpoch(ImageWriter writer, bool full);

    /// <summary>Looks at what was written since the last look, and writes what there is no room for.</summary>
    /// <returns>The number of pages that were dirty.</returns>
    long Sample();

    /// <summary>Copies pages of a full image.</summary>
    /// <param name="maxPages">The most pages to copy now.</param>
    /// <returns>The number of pages copied.</returns>
    int Feed(int maxPages);

    /// <summary>Begins what <see cref="Approach"/> waits for and what can go on beside other domains' approach.</summary>
    void BeginApproach()
    {
    }

    /// <summary>What takes long of what comes right before the suspension.</summary>
    /// <param name="cancellationToken">Gives up.</param>
    void Approach(CancellationToken cancellationToken);

    /// <summary>The last look before the domain is suspended: what the guest writes after it is copied while it stands
    /// still, so nothing that takes long comes in between. Pages that will be copied are mapped.</summary>
    void LookLast();

    /// <summary>A look while the domain is about to suspend itself, and still runs: what it wrote since the look before is
    /// mapped, which would take longest while it stands still. Changes nothing else.</summary>
    /// <param name="most">The most pages to map.</param>
    /// <returns>The number of pages mapped.</returns>
    int LookAgain(int most);

    /// <summary>Copies what no image has yet into the staging area. The domain is suspended.</summary>
    /// <param name="staging">Receives the pages.</param>
    /// <param name="compareTypes">Looks for pages that entered or left the physical map, too.</param>
    void Collect(StagingArea staging, bool compareTypes);

    /// <summary>Makes sure that nothing is missing from what <see cref="Collect"/> took, which did not ask while the
    /// domain stood still. The domain runs.</summary>
    /// <exception cref="DirtyLogLostException">Pages may be missing: <see cref="IsIncomplete"/>.</exception>
    void Confirm();

    /// <summary>True where pages entered or left the physical map unnoticed. The domain runs.</summary>
    bool TypesChanged();

    /// <summary>Adds the collected pages to the image. The domain runs; <see cref="Confirm"/> came before.</summary>
    /// <param name="staging">What <see cref="Collect"/> filled.</param>
    void WriteResidual(StagingArea staging);

    /// <summary>After a checkpoint that did not come about: nothing that was dirty is forgotten.</summary>
    void Rollback();

    /// <summary>The open image is given up, and none takes its place for now: what it had is owed to the next one.</summary>
    /// <returns>False where that is not known any more: then the next image has to be full.</returns>
    bool TryStepAside();

    /// <summary>State that only comes with the memory; null where there is none.</summary>
    PvMemoryState? PvState { get; }
}

/// <summary>What a PV guest's memory needs to be restored.</summary>
/// <param name="Head">A file of <c>xl save</c> without pages: everything of the guest but its memory.</param>
/// <param name="PageTypes">The type of each PFN, an octet each.</param>
public sealed record PvMemoryState(ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> PageTypes);
