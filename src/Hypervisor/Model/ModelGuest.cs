using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A domain of a <see cref="ModelHypervisor"/>, seen from inside and from its backends: what tests and
/// benchmarks do to a guest. What a daemon may do goes through <see cref="IDomain"/>.</summary>
/// <remarks>
/// Safe for use by several threads. One lock guards the domain, and a step of the guest holds it: everybody else
/// takes it by pausing the domain, as Xen does (<c>domain_pause</c>). Copying pages takes no lock.
/// </remarks>
public sealed partial class ModelGuest : IDisposable
{
    private readonly Lock _gate = new();
    private readonly FaultSet _faults = new();
    private readonly AnonymousMapping _memory;
    private readonly PhysicalMap _map;
    private readonly LogDirty _logDirty;
    private readonly VcpuContext _context = new();
    private readonly List<WritableMapping> _mappings = [];
    private readonly ModelVcpu _vcpu;
    private readonly Action<ModelGuest> _onDestroyed;
    private readonly Func<bool> _ignoresSuspend;
    private readonly TimeSpan _suspendLatency;
    private readonly int _vcpus;
    private readonly long _maxPages;
    private IWorkload? _workload;
    private bool _paused;
    private bool _destroyed;
    private ShutdownReason? _shutdown;

    internal ModelGuest(
        int id, ModelDomainOptions options, IGuestNetwork network, Action<ModelGuest> onDestroyed,
        Func<bool> ignoresSuspend)
    {
        long maxRam = Math.Max(options.MemoryPages, options.MaxMemoryPages);
        Id = id;
        Uuid = options.Uuid;
        Name = options.Name;
        Disk = new ModelDisk(options.DiskBlocks);
        Network = network;
        HasDirtyLog = !options.WithoutDirtyLog;
        _onDestroyed = onDestroyed;
        _ignoresSuspend = ignoresSuspend;
        _suspendLatency = options.SuspendLatency;
        _vcpus = options.Vcpus;
        _map = new PhysicalMap(options.Kind, maxRam, Math.Max(maxRam, options.GrowsToPages));
        _maxPages = maxRam + (options.Kind == GuestKind.Pv ? 0 : PhysicalMap.SpecialCount);
        _logDirty = new LogDirty(_map.Capacity);
        _memory = new AnonymousMapping(_map.Capacity * PageSize);
        _vcpu = new ModelVcpu(this);
        _paused = options.StartPaused;
        PopulateAtBirth(options);
        _workload = options.Workload;
        _workload?.Boot(_vcpu);
    }

    /// <summary>The domain id.</summary>
    public int Id { get; }

    /// <summary>The domain's UUID.</summary>
    public Guid Uuid { get; }

    /// <summary>The toolstack's name for the domain; <c>xl rename</c> changes it.</summary>
    public string Name { get; set; }

    /// <summary>How the guest is virtualised.</summary>
    public GuestKind Kind => _map.Kind;

    /// <summary>What a toolstack has plugged beside the guest's disk, in any words: part of its configuration.</summary>
    public string Devices { get; set; } = "";

    /// <summary>The guest's disk.</summary>
    public ModelDisk Disk { get; }

    /// <summary>Memory, disk and step counter, to verify a workload with. Consistent while the guest does not run.</summary>
    public IGuestView View => _vcpu;

    /// <summary>Steps the guest has run, over all its restores: part of the registers.</summary>
    public long Steps
    {
        get
        {
            using (PauseDomain())
            {
                return (long)_context.Steps;
            }
        }
    }

    /// <summary>False where the hypervisor has no log-dirty mode for this guest: a PV guest without shadow paging.</summary>
    public bool HasDirtyLog { get; }

    internal IGuestNetwork Network { get; }

    internal VcpuContext Context => _context;

    internal bool IsDestroyed => Volatile.Read(ref _destroyed);

    /// <summary>Pauses the domain as <c>xl pause</c> does: it stops, and is not suspended.</summary>
    public void Pause() => SetPaused(true);

    /// <summary>Undoes <see cref="Pause"/>.</summary>
    public void Unpause() => SetPaused(false);

    /// <summary>Shuts the domain down as its guest does that crashes, or wants to be rebooted: it stays until a toolstack ends
    /// it.</summary>
    /// <param name="reason">Why.</param>
    public void ShutDown(ShutdownReason reason = ShutdownReason.Crash)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            _shutdown = reason;
        }
    }

    /// <summary>Destroys the domain: its memory is gone, and every later operation says so.</summary>
    public void Destroy()
    {
        using (PauseDomain())
        {
            if (_destroyed)
            {
                return;
            }

            _destroyed = true;
            // A copy in progress holds a reference: the memory is unmapped when that has ended.
            _memory.Dispose();
            Disk.Dispose();
        }

        _onDestroyed(this);
    }

    /// <summary>Stops the guest's thread and destroys the domain. <see cref="ModelHypervisor.Dispose"/> does so.</summary>
    public void Dispose()
    {
        Stop();
        Destroy();
    }

    /// <summary>Arms a fault.</summary>
    /// <param name="fault">What goes wrong.</param>
    /// <param name="persistent">False: at the next occasion only. True: until <see cref="Disarm"/>.</param>
    /// <param name="pages">For <see cref="ModelFault.CopyFailure"/>: the pages that fail; null for all.</param>
    public void Arm(ModelFault fault, bool persistent = false, PfnRun? pages = null) =>
        _faults.Arm(fault, persistent, pages);

    /// <summary>Disarms a fault.</summary>
    /// <param name="fault">The fault; nothing happens where it is not armed.</param>
    public void Disarm(ModelFault fault) => _faults.Disarm(fault);

    /// <summary>How often a fault has struck.</summary>
    /// <param name="fault">The fault.</param>
    public int FaultsStruck(ModelFault fault) => _faults.Fired(fault);

    internal DomainInfo GetInfo()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            DomainStates state = (_paused ? DomainStates.Paused : DomainStates.None)
                | (_shutdown is null ? DomainStates.None : DomainStates.Shutdown);
            if (state == DomainStates.None)
            {
                state = _workload is null ? DomainStates.Blocked : DomainStates.Running;
            }

            return new DomainInfo(
                Id, Uuid, Name, Kind, state, _shutdown, _map.PopulatedCount, _maxPages, _vcpus,
                TimeSpan.FromMicroseconds(_context.Steps * (double)VcpuContext.NanosecondsPerStep / 1000));
        }
    }

    internal DomainConfiguration GetConfiguration()
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            long maxRam = _maxPages - (Kind == GuestKind.Pv ? 0 : PhysicalMap.SpecialCount);
            string toolstack = new ModelToolstack(
                Math.Max(maxRam, PhysicalMap.RamPages(Kind, _map.PfnCount)), _vcpus, Disk.BlockCount,
                _suspendLatency.Ticks, Devices, _map.PopulatedCount).ToJson();
            return new DomainConfiguration(Name, Kind, toolstack, default, default, ModelHypervisor.Version);
        }
    }

    private void SetPaused(bool paused)
    {
        using (PauseDomain())
        {
            ThrowIfDestroyed();
            _paused = paused;
        }
    }

    private void ThrowIfDestroyed()
    {
        if (_destroyed)
        {
            throw new DomainNotFoundException(Uuid.ToString());
        }
    }

    /// <summary>Destroys the domain where that fault is armed, and says so as the operation does.</summary>
    private void StrikeDestroyed()
    {
        if (_faults.Take(ModelFault.DestroyedDuringOperation))
        {
            Destroy();
            ThrowIfDestroyed();
        }
    }
}
