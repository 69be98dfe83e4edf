using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Store;

namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>Why a domain is not part of a checkpoint. Each has a code, which manifests and the contract use.</summary>
public enum LeftOutReason
{
    /// <summary>The operator does not want it.</summary>
    Excluded,

    /// <summary>It is paused, and cannot answer a request to suspend.</summary>
    Paused,

    /// <summary>It has shut down or crashed, and waits for its toolstack.</summary>
    ShutDown,

    /// <summary>Another program has suspended it, for example to save it.</summary>
    Suspended,

    /// <summary>It is being built, restored or migrated.</summary>
    Unfinished,

    /// <summary>It shares its UUID with another domain.</summary>
    Ambiguous,

    /// <summary>It is of a kind that this software does not save.</summary>
    Kind,

    /// <summary>It has a device whose state this software does not save.</summary>
    Device,

    /// <summary>It has a writable disk that this software does not save.</summary>
    Disk,

    /// <summary>Another program uses its dirty log: it is being migrated or saved.</summary>
    LogBusy,

    /// <summary>It did not suspend itself in time.</summary>
    NoAnswer,

    /// <summary>It ended while the checkpoint was taken.</summary>
    Gone,

    /// <summary>Its capture failed.</summary>
    Failed,
}

/// <summary>What is to be said of domains that are not part of a checkpoint.</summary>
public static class LeftOut
{
    /// <summary>The code of a reason: lower case with hyphens, as in <c>no-answer</c>.</summary>
    /// <param name="reason">The reason.</param>
    public static string CodeOf(LeftOutReason reason) => reason switch
    {
        LeftOutReason.ShutDown => "shut-down",
        LeftOutReason.LogBusy => "log-busy",
        LeftOutReason.NoAnswer => "no-answer",
        _ => $"{reason}".ToLowerInvariant(),
    };

    /// <summary>What a domain's present state keeps from a checkpoint, before anything is asked of it; or null.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="ours">True where a checkpoint of this process suspended it.</param>
    /// <returns>The reason and a sentence that says what to do.</returns>
    public static (LeftOutReason Reason, string Message)? ByState(DomainInfo domain, bool ours = false)
    {
        ArgumentNullException.ThrowIfNull(domain);
        string name = domain.Name ?? $"{domain.Uuid}";
        return domain switch
        {
            { State: var s } when s.HasFlag(DomainStates.Dying) =>
                (LeftOutReason.Gone, $"Domain {name} is being destroyed."),
            { ShutdownReason: ShutdownReason.Suspend } when !ours => (
                LeftOutReason.Suspended,
                $"Domain {name} is suspended by another program, such as 'xl save' or 'xl migrate'; it takes part again when it runs."),
            { ShutdownReason: { } reason and not ShutdownReason.Suspend } => (
                LeftOutReason.ShutDown,
                $"Domain {name} has shut down ({Words(reason)}) and waits for its toolstack, which 'xl list' shows as 's' or 'c'. "
                + "Where nobody ends or restarts it, 'xl destroy' and 'xl create' do."),
            { Kind: GuestKind.Hvm } => (
                LeftOutReason.Kind,
                $"Domain {name} is an HVM guest with a QEMU device model, whose state this software does not save. "
                + "As a PVH or PV guest it takes part."),
            { State: var s } when s.HasFlag(DomainStates.Paused) => (
                LeftOutReason.Paused,
                $"Domain {name} is paused and cannot suspend itself; 'xl unpause {name}' lets it run."),
            _ => null,
        };
    }

    /// <summary>The reason that an exception stands for.</summary>
    /// <param name="e">What was thrown for a domain.</param>
    internal static LeftOutReason ReasonOf(Exception e) => e switch
    {
        Disks.DiskNotCoveredException => LeftOutReason.Disk,
        DeviceNotCoveredException => LeftOutReason.Device,
        DomainUnfinishedException => LeftOutReason.Unfinished,
        DirtyLogBusyException or DirtyLogLostException => LeftOutReason.LogBusy,

        // Another program is at it: asking once more at once is right.
        SuspendFailedException { Stage: SuspendStage.Request } => LeftOutReason.LogBusy,
        SuspendFailedException => LeftOutReason.NoAnswer,
        DomainNotFoundException => LeftOutReason.Gone,
        _ => LeftOutReason.Failed,
    };

    /// <summary>An entry of a manifest.</summary>
    internal static LeftOutDomain Of(DomainInfo domain, LeftOutReason reason, string message) =>
        new(domain.Uuid, domain.Name ?? "", CodeOf(reason), message);

    private static string Words(ShutdownReason reason) => reason switch
    {
        ShutdownReason.PowerOff => "power off",
        ShutdownReason.SoftReset => "soft reset",
        _ => $"{reason}".ToLowerInvariant(),
    };
}

/// <summary>A domain has a device whose state a checkpoint could not hold.</summary>
public sealed class DeviceNotCoveredException : HypervisorException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="domain">The domain's name.</param>
    /// <param name="device">The device, with what it is.</param>
    /// <param name="advice">What to do, as a sentence.</param>
    public DeviceNotCoveredException(string domain, string device, string advice)
        : base($"Domain {domain} has {device}, whose state a checkpoint could not hold. {advice}")
    {
    }
}
