using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>The residual pages do not fit into the staging area.</summary>
internal sealed class StagingFullException(long pages, int room) : HypervisorException(
    $"{pages} pages are left to copy while the domains are suspended, and the staging area holds {room} in all. A "
    + "larger staging area, a smaller cache, or a guest that writes less would help.");

/// <summary>A domain has more page frame numbers than when its log was started.</summary>
internal sealed class MemoryMapGrownException(long before, long now) : HypervisorException(
    $"The guest's physical map grew from {before} to {now} page frames.");
