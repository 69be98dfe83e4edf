using XenTwoLevelCkpt.NativeInterop.Processes;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>A hypervisor inside the process: domains with real memory and Xen's log-dirty semantics, for tests,
/// injected faults and benchmarks. No claim about Xen rests on it.</summary>
/// <remarks>
/// Guests advance only by <see cref="Advance"/> or <see cref="ModelGuest.Step"/>, which is deterministic, or in
/// background threads between <see cref="Start"/> and <see cref="Stop"/>.
/// </remarks>
public sealed class ModelHypervisor : IHypervisor
{
    internal const string Version = "1.0";

    private const long ControlDomainPages = 512L << 20 >> 12;

    private readonly Lock _gate = new();
    private readonly SortedDictionary<int, ModelGuest> _guests = [];
    private readonly IGuestNetwork _network;
    private int _nextId = 1;
    private bool _disposed;

    /// <summary>Creates a hypervisor without guests.</summary>
    /// <param name="network">Carries the guests' messages; null for one of this hypervisor's own. Hypervisors
    /// that share a network stand for nodes of a cluster.</param>
    public ModelHypervisor(IGuestNetwork? network = null) => _network = network ?? new LocalGuestNetwork();

    /// <inheritdoc/>
    public HypervisorInfo Info { get; } = new("model", Version);

    /// <summary>The share of requests to suspend that guests ignore, at random, 0 to 1; restored guests do so, too.</summary>
    public double FailSuspends { get; init; }

    /// <summary>4 KiB pages that there are for guests, all together. A restore that needs more fails, as on Xen.</summary>
    public long GuestPages { get; set; } = long.MaxValue;

    /// <summary>The guests, in ascending order of their ids.</summary>
    public IReadOnlyList<ModelGuest> Guests
    {
        get
        {
            lock (_gate)
            {
                return [.. _guests.Values];
            }
        }
    }

    /// <summary>The devices that a configuration has, as text. The memory that the guest has now is none of them.</summary>
    /// <param name="configuration">The configuration; another hypervisor's gives its toolstack's whole text.</param>
    public static string DevicesOf(DomainConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        return configuration.HypervisorVersion == Version
            ? (ModelToolstack.Parse(configuration.Toolstack) with { MemoryPages = 0 }).ToJson()
            : configuration.Toolstack;
    }

    /// <summary>Creates a domain and boots its workload.</summary>
    /// <param name="options">What the domain is made of.</param>
    /// <exception cref="InvalidOperationException">The UUID or the name is taken.</exception>
    public ModelGuest CreateDomain(ModelDomainOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (options.Uuid == Guid.Empty
                || _guests.Values.Any(guest => guest.Uuid == options.Uuid || guest.Name == options.Name))
            {
                throw new InvalidOperationException($"There is a domain {options.Name} ({options.Uuid}) already.");
            }

            var created = new ModelGuest(
                _nextId, options, _network, Forget, () => FailSuspends > 0 && Random.Shared.NextDouble() < FailSuspends);
            _guests.Add(_nextId++, created);
            return created;
        }
    }

    /// <summary>Runs all guests step by step in turn, in the order of their ids.</summary>
    /// <param name="steps">Steps of each guest; one that is paused or suspended is passed over.</param>
    public void Advance(int steps = 1)
    {
        IReadOnlyList<ModelGuest> guests = Guests;
        for (int i = 0; i < steps; i++)
        {
            foreach (ModelGuest guest in guests)
            {
                guest.Step();
            }
        }
    }

    /// <summary>Runs every guest in a thread of its own.</summary>
    /// <param name="stepsPerSecond">The pace of each; 0 for as fast as it goes.</param>
    public void Start(int stepsPerSecond = 0)
    {
        foreach (ModelGuest guest in Guests)
        {
            guest.Start(stepsPerSecond);
        }
    }

    /// <summary>Stops the guests' threads. No step runs after this returns.</summary>
    public void Stop()
    {
        foreach (ModelGuest guest in Guests)
        {
            guest.Stop();
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<DomainInfo> ListDomains(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_disposed, this);
        var domains = new List<DomainInfo>
        {
            new(0, Guid.Empty, "Domain-0", GuestKind.Pv, DomainStates.Running, null, ControlDomainPages,
                ControlDomainPages, 1, TimeSpan.Zero),
        };
        foreach (ModelGuest guest in Guests)
        {
            try
            {
                domains.Add(guest.GetInfo());
            }
            catch (DomainNotFoundException)
            {
                // Destroyed since the list was taken.
            }
        }

        return domains;
    }

    /// <inheritdoc/>
    public IDomain OpenDomain(Guid uuid)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            foreach (ModelGuest guest in _guests.Values)
            {
                if (guest.Uuid == uuid)
                {
                    return new ModelDomain(guest);
                }
            }
        }

        throw new DomainNotFoundException(uuid.ToString());
    }

    /// <inheritdoc/>
    /// <remarks>Numbers that no process has: a model guest's monitor is part of the model.</remarks>
    public IReadOnlyList<ProcessIdentity> FindMonitors() =>
        [.. Guests.Where(g => g.HasMonitor).Select(g => new ProcessIdentity(-g.Id, 0))];

    /// <inheritdoc/>
    public void StopMonitors(IReadOnlyList<ProcessIdentity> monitors) => SetStopped(monitors, stopped: true);

    /// <inheritdoc/>
    public void ContinueMonitors(IReadOnlyList<ProcessIdentity> monitors) => SetStopped(monitors, stopped: false);

    /// <inheritdoc/>
    public IReadOnlyList<string> FindObstacles(
        IReadOnlyList<RestoreRequest> wanted, IReadOnlyCollection<Guid> going, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        ArgumentNullException.ThrowIfNull(going);
        long free = GuestPages - Guests.Where(g => !going.Contains(g.Uuid)).Sum(g => g.GetInfo().MemoryPages);
        long needed = wanted.Sum(r => ModelToolstack.Parse(r.Configuration.Toolstack).MemoryPages);
        return needed <= free ? [] : [$"The domains need {needed} pages, and this host has {free} for them."];
    }

    /// <inheritdoc/>
    public IDomainRestore BeginRestore(RestoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (FindObstacles([request], []) is [var obstacle, ..])
        {
            throw new HypervisorException($"Domain {request.Name} cannot be restored: {obstacle}");
        }

        try
        {
            return new ModelRestore(this, request);
        }
        catch (InvalidOperationException e)
        {
            throw new HypervisorException(e.Message, e);
        }
    }

    /// <summary>Stops and destroys all guests.</summary>
    public void Dispose()
    {
        foreach (ModelGuest guest in Guests)
        {
            guest.Dispose();
        }

        _disposed = true;
    }

    private void SetStopped(IReadOnlyList<ProcessIdentity> monitors, bool stopped)
    {
        ArgumentNullException.ThrowIfNull(monitors);
        foreach (ModelGuest guest in Guests.Where(g => monitors.Any(m => m.Id == -g.Id)))
        {
            guest.SetMonitorStopped(stopped);
        }
    }

    private void Forget(ModelGuest guest)
    {
        lock (_gate)
        {
            _guests.Remove(guest.Id);
        }
    }
}
