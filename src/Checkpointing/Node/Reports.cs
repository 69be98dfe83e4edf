using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Checkpointing.Memory;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>The phases of a checkpoint (section 4.1 of the two-level paper). Those between suspension and resumption
/// run side by side, so they do not add up to the pause.</summary>
/// <param name="Suspend">T_s: from the request until the guest was suspended.</param>
/// <param name="Registers">T_a: capture of registers.</param>
/// <param name="Memory">T_m: capture of the residual pages.</param>
/// <param name="Disks">T_d: sealing of disk layers.</param>
/// <param name="Channels">T_c: capture of channel state.</param>
/// <param name="Resume">T_r: from the request until the guest ran.</param>
public sealed record PhaseTimes(
    TimeSpan Suspend, TimeSpan Registers, TimeSpan Memory, TimeSpan Disks, TimeSpan Channels, TimeSpan Resume);

/// <summary>One domain's share in a checkpoint.</summary>
/// <param name="Uuid">The domain's UUID.</param>
/// <param name="Name">Its name.</param>
/// <param name="Phases">How long each phase took.</param>
/// <param name="PopulatedPages">Pages of memory.</param>
/// <param name="Memory">Pages by what became of them since the last checkpoint.</param>
/// <param name="FullBecause">Why the memory image is full; null for an increment.</param>
public sealed record DomainReport(
    Guid Uuid, string Name, PhaseTimes Phases, long PopulatedPages, MemoryStatistics Memory, string? FullBecause);

/// <summary>A checkpoint that is in the store.</summary>
/// <param name="Id">Its identity.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Index">Its index k.</param>
/// <param name="Label">Its label; may be empty.</param>
/// <param name="Captured">When the state was captured.</param>
/// <param name="Phases">The phases of the node: each until the last domain had it behind itself.</param>
/// <param name="Pause">From the first request to suspend until the last domain ran again.</param>
/// <param name="Domains">The domains.</param>
/// <param name="LeftOut">Domains that are not part of it, with the reason.</param>
public sealed record CheckpointReport(
    Guid Id, ulong Epoch, ulong Index, string Label, DateTimeOffset Captured, PhaseTimes Phases, TimeSpan Pause,
    IReadOnlyList<DomainReport> Domains, IReadOnlyList<LeftOutDomain> LeftOut);

/// <summary>Where a checkpoint is.</summary>
public enum CheckpointStage
{
    /// <summary>Pages are copied while the guests run.</summary>
    Copying,

    /// <summary>The guests are asked to suspend themselves.</summary>
    Suspending,

    /// <summary>The guests run again; the rest is written.</summary>
    Writing,

    /// <summary>The checkpoint is in the store.</summary>
    Done,
}

/// <summary>How far a checkpoint is.</summary>
/// <param name="Stage">Where it is.</param>
/// <param name="Fraction">How much of the stage is done, from 0 to 1.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct CheckpointProgress(CheckpointStage Stage, double Fraction);

/// <summary>A checkpoint did not come about. All guests run on, and nothing that was dirty is lost.</summary>
public sealed class CheckpointFailedException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What went wrong.</param>
    /// <param name="inner">The cause.</param>
    public CheckpointFailedException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
