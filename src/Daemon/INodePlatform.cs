using System.Security.Cryptography;
using System.Text;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What the daemon runs upon: a hypervisor, and the disks of its domains.</summary>
public interface INodePlatform : IDisposable
{
    /// <summary>The hypervisor.</summary>
    IHypervisor Hypervisor { get; }

    /// <summary>The life of the domains: another one when none of them can be there any more that was there before. Null where
    /// they end with this process.</summary>
    string? Life { get; }

    /// <summary>Undoes what a process left behind that ended in the middle of a checkpoint: resumes domains, switches dirty
    /// logs off.</summary>
    /// <param name="state">The state directory.</param>
    /// <param name="waiting">Told what is waited for, before that takes time.</param>
    /// <returns>What was done, as sentences.</returns>
    /// <exception cref="StateLockedException">The process has not ended.</exception>
    IReadOnlyList<string> Undo(string state, Action<string>? waiting = null);

    /// <summary>Starts a process that does the same as <see cref="Undo"/> at the moment this one ends.</summary>
    /// <param name="state">The state directory.</param>
    /// <returns>Ends it; null where domains end with this process anyway.</returns>
    /// <exception cref="IOException">There is no second process.</exception>
    IDisposable? StartGuardian(string state);

    /// <summary>The disks of domains.</summary>
    /// <param name="store">The store.</param>
    IDiskProvider Disks(ICheckpointStore store);

    /// <summary>Puts disks back.</summary>
    /// <param name="store">The store to read from.</param>
    IDiskRestorer DiskRestorer(ICheckpointStore store);

    /// <summary>Opens the way of frames between guests here and guests of other nodes.</summary>
    /// <param name="settings">The bridge's name, and the tap's.</param>
    /// <exception cref="IOException">It cannot be opened.</exception>
    IUplink OpenUplink(NodeSettings settings);

    /// <summary>True where a domain can exchange frames with guests of other nodes: outside of its node's checkpoints it would
    /// leave no recovery line consistent.</summary>
    /// <param name="domain">The domain's configuration.</param>
    /// <param name="settings">The bridge's name.</param>
    /// <exception cref="HypervisorException">The configuration makes no sense.</exception>
    bool ReachesPeers(DomainConfiguration domain, NodeSettings settings);

    /// <summary>The Ethernet addresses that a domain's interfaces were given (<see cref="INodeMessages.KnowGuests"/>).</summary>
    /// <param name="domain">The domain's configuration.</param>
    /// <exception cref="HypervisorException">The configuration makes no sense.</exception>
    IReadOnlyList<ulong> AddressesOf(DomainConfiguration domain);

    /// <summary>Domains that were restored run now.</summary>
    /// <param name="domains">The domains.</param>
    void Running(IReadOnlyList<IDomain> domains);
}

/// <summary>A Dom0 of Xen.</summary>
/// <param name="state">The state directory, which has the record of disks.</param>
public sealed class XenPlatform(string state) : INodePlatform
{
    private readonly DiskRegistry _registry = new(state);

    /// <inheritdoc/>
    /// <remarks>Opened with this object.</remarks>
    /// <exception cref="HypervisorUnavailableException">There is no Xen here.</exception>
    public IHypervisor Hypervisor { get; } = XenHypervisor.Open();

    /// <summary>The boot of Dom0, which ends when Xen ends: random(4), proc_sys_kernel(5).</summary>
    public string? Life { get; } = File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();

    /// <inheritdoc/>
    public IReadOnlyList<string> Undo(string state, Action<string>? waiting = null) =>
        NodeRecovery.Run(state, Hypervisor, waiting);

    /// <inheritdoc/>
    public IDisposable? StartGuardian(string state) => Guardian.Start(state);

    /// <inheritdoc/>
    public IDiskProvider Disks(ICheckpointStore store) => new XenDiskProvider(DeviceMapper.Open, _registry);

    /// <inheritdoc/>
    public IDiskRestorer DiskRestorer(ICheckpointStore store) => new XenDiskRestorer(DeviceMapper.Open, _registry, store);

    /// <inheritdoc/>
    public IUplink OpenUplink(NodeSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return TapUplink.Open(settings.Tap, settings.Bridge);
    }

    /// <inheritdoc/>
    public bool ReachesPeers(DomainConfiguration domain, NodeSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return XenDiskProvider.BridgesOf(domain).Any(b => b.Length == 0 || b == settings.Bridge);
    }

    /// <inheritdoc/>
    public IReadOnlyList<ulong> AddressesOf(DomainConfiguration domain) => XenDiskProvider.AddressesOf(domain);

    /// <inheritdoc/>
    public void Running(IReadOnlyList<IDomain> domains)
    {
        // They do by themselves.
    }

    /// <inheritdoc/>
    public void Dispose() => Hypervisor.Dispose();
}

/// <summary>A model hypervisor in the daemon's process, with guests that begin with it.</summary>
public sealed class ModelPlatform : INodePlatform
{
    private readonly ModelHypervisor _hypervisor;
    private readonly GuestNetworkUplink _uplink = new();
    private readonly int _stepsPerSecond;
    private readonly bool _owned;
    private readonly bool _tap;

    /// <summary>Boots the guests.</summary>
    /// <param name="node">The node's name: guests of one name and number have the same UUID in each run.</param>
    /// <param name="settings">The guests.</param>
    /// <param name="nodes">All nodes of the cluster, whose guests have the same settings; empty for this one alone.</param>
    public ModelPlatform(string node, ModelSettings settings, params IReadOnlyList<string> nodes)
    {
        ArgumentNullException.ThrowIfNull(settings);
        ArgumentNullException.ThrowIfNull(nodes);
        _hypervisor = new ModelHypervisor(_uplink) { FailSuspends = settings.FailSuspends };
        _stepsPerSecond = settings.StepsPerSecond;
        _owned = true;
        _tap = settings.Tap;
        Guid[] uuids = [.. Enumerable.Range(0, settings.Guests).Select(i => UuidOf(node, i))];
        Guid[] all = nodes.Count == 0 || settings.Tap
            ? uuids
            : [.. nodes.SelectMany(n => Enumerable.Range(0, settings.Guests).Select(i => UuidOf(n, i)))];

        // All of them before the first runs: a message to one that is not here yet would leave for other nodes, and be lost.
        Array.ForEach(uuids, _uplink.Attach);
        for (int i = 0; i < uuids.Length; i++)
        {
            ModelGuest guest = _hypervisor.CreateDomain(new ModelDomainOptions
            {
                Name = $"{node}-{i + 1}",
                Uuid = uuids[i],
                MemoryPages = settings.MemoryPages,
                Workload = settings.Workload == ModelWorkload.Bank
                    ? new BankWorkload((ulong)i + 1, peers: [.. all.Where(other => other != uuids[i]).Take(BankWorkload.MaxPeers)])
                    : new StepperWorkload((ulong)i + 1, pages: settings.MemoryPages / 2),
            });
            Start(guest);
        }
    }

    /// <summary>Uses a hypervisor that lives longer than the daemon.</summary>
    /// <param name="hypervisor">The hypervisor; stays the caller's.</param>
    /// <param name="life">Names its life; null for a daemon that takes no channels up.</param>
    public ModelPlatform(ModelHypervisor hypervisor, string? life = null)
    {
        _hypervisor = hypervisor;
        Life = life;
    }

    /// <inheritdoc/>
    public IHypervisor Hypervisor => _hypervisor;

    /// <inheritdoc/>
    public string? Life { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Undo(string state, Action<string>? waiting = null) =>
        IntentFile.Recover(state, _hypervisor, waiting: waiting);

    /// <inheritdoc/>
    public IDisposable? StartGuardian(string state) => null;

    /// <inheritdoc/>
    public IDiskProvider Disks(ICheckpointStore store) => new ModelDisks(_hypervisor, store);

    /// <inheritdoc/>
    public IDiskRestorer DiskRestorer(ICheckpointStore store) => new ModelDisks(_hypervisor, store);

    /// <inheritdoc/>
    public IUplink OpenUplink(NodeSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        return _tap ? TapUplink.Open(settings.Tap, settings.Bridge) : _uplink;
    }

    /// <inheritdoc/>
    public bool ReachesPeers(DomainConfiguration domain, NodeSettings settings) => !_tap;

    /// <inheritdoc/>
    /// <remarks>None: its guests count their messages.</remarks>
    public IReadOnlyList<ulong> AddressesOf(DomainConfiguration domain) => [];

    /// <inheritdoc/>
    public void Running(IReadOnlyList<IDomain> domains)
    {
        ArgumentNullException.ThrowIfNull(domains);
        foreach (IDomain domain in domains)
        {
            _uplink.Attach(domain.Uuid);
        }

        foreach (ModelGuest guest in _hypervisor.Guests.Where(g => domains.Any(d => d.Uuid == g.Uuid)))
        {
            Start(guest);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_owned)
        {
            _hypervisor.Dispose();
        }
    }

    private static Guid UuidOf(string node, int number) =>
        new(SHA256.HashData(Encoding.UTF8.GetBytes($"{node}/{number}")).AsSpan(0, 16));

    private void Start(ModelGuest guest)
    {
        if (_stepsPerSecond > 0)
        {
            guest.Start(_stepsPerSecond);
        }
    }
}
