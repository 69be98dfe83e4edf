using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Processes;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>The model, with what can go wrong around it.</summary>
internal sealed class BrokenPlatform : INodePlatform, IHypervisor, IDiskProvider
{
    private ModelPlatform? _model;

    internal bool IsGone { get; set; }

    internal Func<Exception>? Disk { get; set; }

    internal Action? Restore { get; set; }

    internal Action? Guardian { get; set; }

    public IHypervisor Hypervisor => this;

    public string? Life => null;

    public HypervisorInfo Info => _model!.Hypervisor.Info;

    public IReadOnlyList<DomainInfo> ListDomains(CancellationToken cancellationToken = default) => IsGone
        ? throw new HypervisorUnavailableException("/dev/xen/privcmd is gone.")
        : _model!.Hypervisor.ListDomains(cancellationToken);

    public IDomain OpenDomain(Guid uuid) => _model!.Hypervisor.OpenDomain(uuid);

    public IReadOnlyList<string> FindObstacles(
        IReadOnlyList<RestoreRequest> wanted, IReadOnlyCollection<Guid> going, CancellationToken cancellationToken = default) =>
        _model!.Hypervisor.FindObstacles(wanted, going, cancellationToken);

    public IDomainRestore BeginRestore(RestoreRequest request)
    {
        Restore?.Invoke();
        return _model!.Hypervisor.BeginRestore(request);
    }

    public IReadOnlyList<ProcessIdentity> FindMonitors() => _model!.Hypervisor.FindMonitors();

    public void StopMonitors(IReadOnlyList<ProcessIdentity> monitors) => _model!.Hypervisor.StopMonitors(monitors);

    public void ContinueMonitors(IReadOnlyList<ProcessIdentity> monitors) => _model!.Hypervisor.ContinueMonitors(monitors);

    public IReadOnlyList<ulong> AddressesOf(DomainConfiguration domain) => _model!.AddressesOf(domain);

    public bool ReachesPeers(DomainConfiguration domain, NodeSettings settings) => _model!.ReachesPeers(domain, settings);

    public IUplink OpenUplink(NodeSettings settings) => _model!.OpenUplink(settings);

    public IReadOnlyList<string> Undo(string state, Action<string>? waiting = null) => _model!.Undo(state, waiting);

    public IDisposable? StartGuardian(string state)
    {
        Guardian?.Invoke();
        return null;
    }

    public IDiskProvider Disks(ICheckpointStore store) => this;

    public IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly) =>
        Disk is null ? [] : throw Disk();

    public IDiskRestorer DiskRestorer(ICheckpointStore store) => _model!.DiskRestorer(store);

    public void Running(IReadOnlyList<IDomain> domains) => _model!.Running(domains);

    public void Dispose() => _model?.Dispose();

    internal BrokenPlatform Over(ModelHypervisor hypervisor)
    {
        _model = new ModelPlatform(hypervisor);
        return this;
    }
}
