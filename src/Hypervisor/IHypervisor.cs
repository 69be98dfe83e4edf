using XenTwoLevelCkpt.NativeInterop.Processes;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What a checkpointing daemon asks of a hypervisor.</summary>
/// <remarks>Implementations are safe for use by several threads.</remarks>
public interface IHypervisor : IDisposable
{
    /// <summary>What this hypervisor is.</summary>
    HypervisorInfo Info { get; }

    /// <summary>All domains, the control domain included, in ascending order of their ids.</summary>
    /// <param name="cancellationToken">Ends the call, which asks the toolstack's store for names.</param>
    /// <exception cref="HypervisorException">The hypervisor or the store does not answer.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    IReadOnlyList<DomainInfo> ListDomains(CancellationToken cancellationToken = default);

    /// <summary>Opens a domain for work on it.</summary>
    /// <param name="uuid">The domain's UUID: ids change when a domain is restored, UUIDs do not.</param>
    /// <returns>A handle that the caller disposes. Opening changes nothing in the domain.</returns>
    /// <exception cref="DomainNotFoundException">No guest has this UUID. All zero, the control domain's, is no
    /// guest's: a daemon must not suspend the domain it runs in.</exception>
    IDomain OpenDomain(Guid uuid);

    /// <summary>The toolstack's processes that wait for domains to end, and would take a suspension for an end: they have to be
    /// stopped while domains are suspended, or they exit, and nobody restarts a guest that reboots later.</summary>
    /// <returns>Those that can be stopped; empty where the toolstack has none.</returns>
    IReadOnlyList<ProcessIdentity> FindMonitors();

    /// <summary>Stops such processes.</summary>
    /// <param name="monitors">From <see cref="FindMonitors"/>; those that are gone are passed over.</param>
    void StopMonitors(IReadOnlyList<ProcessIdentity> monitors);

    /// <summary>Lets such processes go on. Does nothing to one that was not stopped, or is gone.</summary>
    /// <param name="monitors">Those that were stopped.</param>
    void ContinueMonitors(IReadOnlyList<ProcessIdentity> monitors);

    /// <summary>Looks whether this host has what domains need to come back: memory, bridges, a processor that can do what theirs could,
    /// the same release of the hypervisor. Changes nothing.</summary>
    /// <param name="wanted">The domains.</param>
    /// <param name="going">UUIDs of domains that are removed before; their memory counts as free.</param>
    /// <param name="cancellationToken">Ends the call, which asks the toolstack's store for names.</param>
    /// <returns>What is in the way, as sentences that name the domain; empty where nothing is seen.</returns>
    /// <exception cref="HypervisorException">The hypervisor does not answer, or a configuration makes no sense.</exception>
    IReadOnlyList<string> FindObstacles(
        IReadOnlyList<RestoreRequest> wanted, IReadOnlyCollection<Guid> going, CancellationToken cancellationToken = default);

    /// <summary>Begins to restore a domain.</summary>
    /// <param name="request">What it is made of.</param>
    /// <returns>Receives its memory; the caller disposes it.</returns>
    /// <exception cref="HypervisorException">There is such a domain already, or it cannot be made.</exception>
    IDomainRestore BeginRestore(RestoreRequest request);
}

/// <summary>Name and release of a hypervisor.</summary>
/// <param name="Name"><c>Xen</c> or <c>model</c>.</param>
/// <param name="Version">The full version, such as <c>4.17.7</c>.</param>
public sealed record HypervisorInfo(string Name, string Version);
