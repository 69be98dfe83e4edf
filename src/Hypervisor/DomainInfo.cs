namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>A domain as the hypervisor sees it at one moment.</summary>
/// <param name="Id">The domain id; 0 is the control domain. Ids are not stable across a restore.</param>
/// <param name="Uuid">The domain's UUID (<c>handle</c> in <c>domctl.h</c>); all zero for the control domain.</param>
/// <param name="Name">The toolstack's name for the domain, or null where it has none.</param>
/// <param name="Kind">How the guest is virtualised.</param>
/// <param name="State">State bits as <c>xl list</c> shows them.</param>
/// <param name="ShutdownReason">Why the domain shut down; null unless <see cref="DomainStates.Shutdown"/> is set.</param>
/// <param name="MemoryPages">Populated 4 KiB pages, those lent out to other domains included.</param>
/// <param name="MaxMemoryPages">The most 4 KiB pages that the domain may populate.</param>
/// <param name="Vcpus">Online virtual CPUs.</param>
/// <param name="CpuTime">CPU time used by all virtual CPUs together.</param>
public sealed record DomainInfo(
    int Id,
    Guid Uuid,
    string? Name,
    GuestKind Kind,
    DomainStates State,
    ShutdownReason? ShutdownReason,
    long MemoryPages,
    long MaxMemoryPages,
    int Vcpus,
    TimeSpan CpuTime);

/// <summary>How a guest is virtualised.</summary>
public enum GuestKind
{
    /// <summary>Paravirtualised: page tables are the guest's own and hold machine addresses.</summary>
    Pv,

    /// <summary>Hardware-assisted without a device model.</summary>
    Pvh,

    /// <summary>Hardware-assisted with a device model (QEMU).</summary>
    Hvm,
}

/// <summary>Domain states, the bits of <c>XEN_DOMINF_*</c> that <c>xl list</c> prints.</summary>
[Flags]
public enum DomainStates
{
    /// <summary>Runnable and not running, shut down or paused.</summary>
    None = 0,

    /// <summary><c>r</c>: a virtual CPU is running.</summary>
    Running = 1,

    /// <summary><c>b</c>: all virtual CPUs wait for something.</summary>
    Blocked = 2,

    /// <summary><c>p</c>: paused by the control domain.</summary>
    Paused = 4,

    /// <summary><c>s</c>: shut down; <see cref="DomainInfo.ShutdownReason"/> says why.</summary>
    Shutdown = 8,

    /// <summary><c>d</c>: being destroyed.</summary>
    Dying = 16,
}

/// <summary>Why a domain shut down (<c>SHUTDOWN_*</c> in Xen's public <c>sched.h</c>).</summary>
public enum ShutdownReason
{
    /// <summary>The guest powered off.</summary>
    PowerOff = 0,

    /// <summary>The guest wants to be rebooted.</summary>
    Reboot = 1,

    /// <summary>The guest is suspended and can be saved or resumed.</summary>
    Suspend = 2,

    /// <summary>The guest crashed.</summary>
    Crash = 3,

    /// <summary>The guest's watchdog expired.</summary>
    Watchdog = 4,

    /// <summary>The guest asked for a soft reset.</summary>
    SoftReset = 5,
}
