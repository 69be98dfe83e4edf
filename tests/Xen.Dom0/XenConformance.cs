using XenTwoLevelCkpt.Hypervisor.Conformance;

// One guest of each kind serves all facts, one after the other.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace XenTwoLevelCkpt.Dom0Tests;

public sealed class PvhListing : ListingConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvhAsync();
}

public sealed class PvhDirtyLog : DirtyLogConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvhAsync();
}

public sealed class PvhCopy : CopyConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvhAsync();
}

public sealed class PvhSuspend : SuspendConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvhAsync();
}

public sealed class PvListing : ListingConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvAsync();
}

public sealed class PvDirtyLog : DirtyLogConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvAsync();
}

public sealed class PvSuspend : SuspendConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => XenTarget.PvAsync();
}
