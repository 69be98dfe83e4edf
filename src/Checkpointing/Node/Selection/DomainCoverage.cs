namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>How the last attempt of a checkpoint found a domain.</summary>
/// <param name="LeftOut">Why it was left out; null where it is covered.</param>
/// <param name="Disks">Names of its disks that are covered.</param>
/// <param name="MemoryOnly">Whether disks and devices that cannot be saved are left out.</param>
public sealed record DomainCoverage(
    Images.Store.LeftOutDomain? LeftOut, IReadOnlyList<string> Disks, bool MemoryOnly);
