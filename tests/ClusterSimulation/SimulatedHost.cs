using System.Buffers.Binary;
using XenTwoLevelCkpt.Channels;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>A domain: a bank that sends others money.</summary>
internal sealed class SimulatedDomain(Guid uuid, Account account, int life)
{
    internal Guid Uuid { get; } = uuid;

    internal Account Account { get; set; } = account;

    /// <summary>Another one each time that it is made or restored: Xen's number of the domain.</summary>
    internal int Life { get; } = life;

    internal bool IsPaused { get; set; }
}

/// <summary>A host: it has domains and disks, and a daemon runs on it or not.</summary>
internal sealed class SimulatedHost : IDisposable
{
    // A message is the payment's number, and the money in its last digits.
    private const long PaymentUnit = 100;
    private const int MostPaid = 10;

    private readonly SimulatedWorld _world;
    private readonly Dictionary<Guid, SimulatedDomain> _domains = [];

    internal SimulatedHost(SimulatedWorld world, string name)
    {
        _world = world;
        Name = name;
        Disk.Log.Logs = node => world.Host(node).Disk.Log;
    }

    internal string Name { get; }

    internal SimulatedDisk Disk { get; } = new();

    /// <summary>The daemon; null while none runs.</summary>
    internal SimulatedDaemon? Daemon { get; private set; }

    /// <summary>The bridge: it is the host's, and outlives a daemon.</summary>
    internal GuestNetworkUplink Uplink { get; private set; } = new();

    /// <summary>False where the host is switched off.</summary>
    internal bool IsUp { get; private set; } = true;

    /// <summary>How often it was switched on.</summary>
    internal int Boots { get; private set; } = 1;

    /// <summary>True where the host never comes back.</summary>
    internal bool IsLost { get; private set; }

    /// <summary>True where nobody reaches it.</summary>
    internal bool IsCutOff { get; set; }

    internal IReadOnlyCollection<SimulatedDomain> Domains => _domains.Values;

    /// <summary>Lost nodes whose domains were brought up here, with the epochs that they came from.</summary>
    internal List<(string Node, ulong Epoch)> Adopted { get; } = [];

    internal SimulatedDomain? Find(Guid uuid) => _domains.GetValueOrDefault(uuid);

    /// <summary>A domain is made, or restored.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="isAttached">False where the channels have it join the bridge: what local domains send it before then waits, as a
    /// ring of its would have it.</param>
    internal void Add(SimulatedDomain domain, bool isAttached = true)
    {
        if (!_domains.TryAdd(domain.Uuid, domain))
        {
            throw new SimulationException($"{Name} makes domain {domain.Uuid} a second time.");
        }

        if (isAttached)
        {
            Uplink.Attach(domain.Uuid);
        }

        _world.Note($"{Name}: makes {domain.Uuid}");
        _world.Schedule(this, domain);
    }

    internal void Destroy(Guid uuid)
    {
        if (_domains.Remove(uuid))
        {
            Uplink.Detach(uuid);
            _world.Note($"{Name}: destroys {uuid}");
        }
    }

    internal void LetRun(Guid uuid)
    {
        if (_domains.TryGetValue(uuid, out SimulatedDomain? domain) && domain.IsPaused)
        {
            domain.IsPaused = false;
            _world.Schedule(this, domain);
        }
    }

    /// <summary>The domain does what it does: takes what it was given, and sends.</summary>
    internal void Act(SimulatedDomain domain, IReadOnlyList<Guid> all, bool sends)
    {
        Span<byte> payload = stackalloc byte[sizeof(long)];
        while (Uplink.TryReceive(domain.Uuid, payload, out _))
        {
            long payment = BinaryPrimitives.ReadInt64LittleEndian(payload);
            domain.Account = domain.Account.Take(payment / PaymentUnit, payment % PaymentUnit);
        }

        if (sends && domain.Account.Money > 0 && all.Count > 1)
        {
            Guid to = all[_world.Random.Next(all.Count)];
            if (to != domain.Uuid)
            {
                long money = 1 + _world.Random.Next((int)Math.Min(domain.Account.Money, MostPaid));
                long number = _world.NextPayment(domain.Uuid, to);
                domain.Account = domain.Account.Make(number, money);
                BinaryPrimitives.WriteInt64LittleEndian(payload, (number * PaymentUnit) + money);
                Uplink.Send(domain.Uuid, to, payload);
                Daemon?.PumpSoon();
            }
        }
    }

    internal void StartDaemon()
    {
        if (IsUp && Daemon is null)
        {
            Daemon = new SimulatedDaemon(_world, this);
            Daemon.Start();
        }
    }

    /// <summary>The daemon is killed; the guests run on.</summary>
    internal void KillDaemon()
    {
        Daemon?.Die();
        Daemon = null;
        Disk.Log.Crash(_world.Random);
    }

    /// <summary>The daemon is stopped in good order; the guests run on.</summary>
    internal void StopDaemon()
    {
        if (Daemon is { } daemon)
        {
            Disk.Log.Commit();
            daemon.Park();
            daemon.Die();
            Daemon = null;
            Disk.Log.Crash(_world.Random);
        }
    }

    /// <summary>The host dies, and its guests with it.</summary>
    internal void SwitchOff(bool forGood)
    {
        KillDaemon();
        _domains.Clear();
        Uplink.Dispose();
        Uplink = new GuestNetworkUplink();
        IsUp = false;
        IsLost |= forGood;
    }

    internal void SwitchOn()
    {
        if (!IsUp && !IsLost)
        {
            IsUp = true;
            Boots++;
        }
    }

    public void Dispose() => Uplink.Dispose();
}

/// <summary>Something happened that must never happen, or the simulated world asked for what makes no sense.</summary>
internal sealed class SimulationException(string message) : Exception(message);
