using XenTwoLevelCkpt.NativeInterop.Processes;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>The Xen hypervisor of this host, as its control domain sees it.</summary>
public sealed class XenHypervisor : IHypervisor
{
    /// <summary>Emulation flag of the local APIC (<c>XEN_X86_EMU_LAPIC</c>, <c>xen/arch-x86/xen.h</c>): the one
    /// emulated device of a PVH guest. HVM guests have more.</summary>
    private const uint LocalApic = 1;

    private const long KiBOfPage = 4;

    private readonly XenInterface _xen;
    private readonly ForeignMemory _memory;
    private readonly XenStore _store;

    private XenHypervisor(XenInterface xen, ForeignMemory memory, DeviceModel marker, XenStore store)
    {
        Marker = marker;
        _xen = xen;
        _memory = memory;
        _store = store;
        Info = new HypervisorInfo("Xen", xen.HypervisorVersion.ToString());
        Downs = new XenShutdownWatch(xen);
    }

    /// <inheritdoc/>
    public HypervisorInfo Info { get; }

    /// <summary>Marks pages in dirty logs.</summary>
    internal DeviceModel Marker { get; }

    /// <summary>Tells when domains go down.</summary>
    internal XenShutdownWatch Downs { get; }

    /// <summary>Connects to the hypervisor and xenstored.</summary>
    /// <returns>A connection that the caller disposes.</returns>
    /// <exception cref="HypervisorUnavailableException">This is no control domain of a Xen host, a library is missing,
    /// or the caller is not root; the message says which.</exception>
    public static XenHypervisor Open()
    {
        XenInterface? xen = null;
        ForeignMemory? memory = null;
        DeviceModel? marker = null;
        try
        {
            xen = XenInterface.Open();
            memory = ForeignMemory.Open();
            marker = DeviceModel.Open();
            return new XenHypervisor(xen, memory, marker, XenStore.Open());
        }
        catch (XenException e)
        {
            marker?.Dispose();
            memory?.Dispose();
            xen?.Dispose();
            throw new HypervisorUnavailableException(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<DomainInfo> ListDomains(CancellationToken cancellationToken = default)
    {
        try
        {
            return [.. _xen.ListDomains().Select(d => Describe(d, cancellationToken))];
        }
        catch (XenException e)
        {
            throw new HypervisorException(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public IDomain OpenDomain(Guid uuid)
    {
        foreach (DomainInfo domain in ListDomains())
        {
            // Never the control domain: it would suspend itself. A domain that is being destroyed keeps its entry until the last of its pages is given back.
            if (domain.Id != 0 && domain.Uuid == uuid && !domain.State.HasFlag(DomainStates.Dying))
            {
                return new XenDomain(this, _xen, _memory, _store, domain);
            }
        }

        throw new DomainNotFoundException($"{uuid}");
    }

    /// <inheritdoc/>
    public IReadOnlyList<ProcessIdentity> FindMonitors() => XlMonitors.Find();

    /// <inheritdoc/>
    public void StopMonitors(IReadOnlyList<ProcessIdentity> monitors)
    {
        ArgumentNullException.ThrowIfNull(monitors);
        foreach (ProcessIdentity monitor in monitors)
        {
            _ = monitor.Stop();
        }
    }

    /// <inheritdoc/>
    public void ContinueMonitors(IReadOnlyList<ProcessIdentity> monitors)
    {
        ArgumentNullException.ThrowIfNull(monitors);
        foreach (ProcessIdentity monitor in monitors)
        {
            _ = monitor.Continue();
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> FindObstacles(
        IReadOnlyList<RestoreRequest> wanted, IReadOnlyCollection<Guid> going, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        ArgumentNullException.ThrowIfNull(going);
        IReadOnlyList<DomainInfo> there = ListDomains(cancellationToken);
        try
        {
            long dom0 = there.Where(d => d.Id == 0).Sum(d => d.MemoryPages) * KiBOfPage;
            long free = ((long)_xen.GetHostInfo().FreePages + there.Where(d => d.Id != 0 && going.Contains(d.Uuid)).Sum(d => d.MemoryPages)) * KiBOfPage;
            return new HostFit(
                Info.Version, free + XlSettings.Read(_xen.ReadCommandLine()).GivenUpByDom0(dom0), kind => _xen.GetHostCpuPolicy(kind == GuestKind.Pv),
                name => Directory.Exists($"/sys/class/net/{name}")).Obstacles(wanted);
        }
        catch (XenException e)
        {
            throw new HypervisorException(e.Message, e);
        }
    }

    /// <inheritdoc/>
    public IDomainRestore BeginRestore(RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        try
        {
            return new XenRestore(this, request);
        }
        catch (ArgumentException e)
        {
            throw new HypervisorException($"Domain {request.Name} cannot be restored: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Downs.Dispose();
        _store.Dispose();
        Marker.Dispose();
        _memory.Dispose();
        _xen.Dispose();
    }

    /// <summary>Reads one domain.</summary>
    /// <returns>Null where the domain is gone.</returns>
    internal DomainInfo? TryGet(uint id, Guid uuid) =>
        _xen.TryGetDomain(id, out XcDomainInfo info) && info.Uuid == uuid ? Describe(info, CancellationToken.None) : null;

    private DomainInfo Describe(XcDomainInfo info, CancellationToken cancellationToken)
    {
        DomainStates state =
            (info.IsRunning ? DomainStates.Running : DomainStates.None)
            | (info.IsBlocked ? DomainStates.Blocked : DomainStates.None)
            | (info.IsPaused ? DomainStates.Paused : DomainStates.None)
            | (info.IsShutdown ? DomainStates.Shutdown : DomainStates.None)
            | (info.IsDying ? DomainStates.Dying : DomainStates.None);
        GuestKind kind = !info.IsHvm ? GuestKind.Pv
            : (info.EmulationFlags & ~LocalApic) == 0 ? GuestKind.Pvh
            : GuestKind.Hvm;
        return new DomainInfo(
            info.DomainId,
            info.Uuid,
            _store.Read($"{_store.GetDomainPath((uint)info.DomainId, cancellationToken)}/name", cancellationToken),
            kind,
            state,
            info.IsShutdown ? (ShutdownReason)info.ShutdownReason : null,
            (long)info.TotalPages,
            (long)info.MaxPages,
            info.OnlineVcpus,
            new TimeSpan((long)(info.CpuTimeNanoseconds / TimeSpan.NanosecondsPerTick)));
    }
}
