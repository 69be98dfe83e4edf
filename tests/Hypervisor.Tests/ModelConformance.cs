using XenTwoLevelCkpt.Hypervisor.Conformance;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

public sealed class PvhListing : ListingConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pvh();
}

public sealed class PvhDirtyLog : DirtyLogConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pvh();
}

public sealed class PvhCopy : CopyConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pvh();
}

public sealed class PvhSuspend : SuspendConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pvh();
}

public sealed class PvDirtyLog : DirtyLogConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pv();
}

public sealed class PvCopy : CopyConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pv();
}

public sealed class PvSuspend : SuspendConformance
{
    protected override Task<IConformanceTarget> CreateTargetAsync() => Targets.Pv();
}

internal static class Targets
{
    internal static Task<IConformanceTarget> Pvh() => Task.FromResult<IConformanceTarget>(new ModelTarget(GuestKind.Pvh));

    internal static Task<IConformanceTarget> Pv() => Task.FromResult<IConformanceTarget>(new ModelTarget(GuestKind.Pv));
}
