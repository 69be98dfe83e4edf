using System.Numerics;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>A node of model guests with a store in a temporary folder, which records what every guest was when it was
/// suspended: what a restore has to give back.</summary>
internal sealed class ModelNode : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-node-").FullName;
    private readonly IChannelState? _channels;
    private readonly Dictionary<Guid, GuestState> _atSuspension = [];
    private readonly Dictionary<Guid, Dictionary<Guid, GuestState>> _recorded = [];

    internal ModelNode(
        NodeOptions? options = null, bool disks = true, IChannelState? channels = null, string? refuseDisksOf = null,
        IDiskProvider? disksUsed = null)
    {
        _channels = channels;
        Hypervisor = new ModelHypervisor();
        Store = DirectoryStore.Open(Path.Combine(_folder, "store"));
        Disks = new ModelDisks(Hypervisor, Store);
        Options = (options ?? new NodeOptions { StateDirectory = "" }) with
        {
            StateDirectory = Path.Combine(_folder, "state"),
            Node = "model",
            SuspendTimeout = options?.SuspendTimeout is { } t && t != TimeSpan.FromSeconds(10) ? t : TimeSpan.FromSeconds(30),
        };
        DisksUsed = disksUsed is not null ? disksUsed : refuseDisksOf is not null ? new RefusedDisks(refuseDisksOf) : disks ? Disks : new NoDisks();
        Node = NewNode();
    }

    internal ModelHypervisor Hypervisor { get; }

    internal DirectoryStore Store { get; }

    internal ModelDisks Disks { get; }

    internal NodeOptions Options { get; }

    internal NodeCheckpointer Node { get; private set; }

    internal List<string> Logged { get; } = [];

    internal bool Said(string words)
    {
        lock (Logged)
        {
            return Logged.Exists(m => m.Contains(words, StringComparison.Ordinal));
        }
    }

    internal string StoreFolder => Path.Combine(_folder, "store");

    /// <summary>Throws at a step, once.</summary>
    internal (NodeStep Step, Func<Exception> Failure)? Strike { get; set; }

    /// <summary>Sees every step, on the thread that takes it.</summary>
    internal Action<NodeStep>? Watch { get; set; }

    private IDiskProvider DisksUsed { get; }

    internal async Task RestartAsync()
    {
        await Node.DisposeAsync();
        Node = NewNode();
    }

    internal ModelGuest AddGuest(
        string name, IWorkload? workload = null, long pages = 1024, GuestKind kind = GuestKind.Pvh, TimeSpan suspendLatency = default) =>
        Hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = name,
            Kind = kind,
            MemoryPages = pages,
            MaxMemoryPages = pages + 256,
            DiskBlocks = 64,
            Workload = workload,
            SuspendLatency = suspendLatency,
        });

    internal async Task<CheckpointReport> CheckpointAsync(ulong index = 1)
    {
        CheckpointReport report = await Node.CheckpointAsync(index, $"k{index}", cancellationToken: TestContext.Current.CancellationToken);

        // Others may have suspended guests, too.
        Assert.All(Hypervisor.Guests.Where(g => report.Domains.Any(d => d.Uuid == g.Uuid)), g => Assert.True(g.HasMonitor && !g.IsMonitorStopped));
        _recorded[report.Id] = report.Domains.ToDictionary(d => d.Uuid, d => _atSuspension[d.Uuid]);
        return report;
    }

    /// <summary>Restores a checkpoint in place of the guests and compares it with what was recorded.</summary>
    internal void RestoreAndCompare(Guid id)
    {
        StoreJudge.Agrees(Store, id);
        Hypervisor.Stop();
        foreach (ModelGuest guest in Hypervisor.Guests)
        {
            guest.Destroy();
        }

        CheckpointManifest manifest = Store.Checkpoints.Single(m => m.Id == id);
        foreach (IDomain domain in new Restorer(Store).Restore(Hypervisor, manifest, disks: Disks))
        {
            Assert.False(domain.GetInfo().State.HasFlag(DomainStates.Paused));
            domain.Dispose();
        }

        Assert.Equal(_recorded[id].Count, Hypervisor.Guests.Count);
        foreach (ModelGuest guest in Hypervisor.Guests)
        {
            _recorded[id][guest.Uuid].AssertSame(GuestState.Of(guest));
        }
    }

    /// <summary>Fails where a domain is suspended.</summary>
    internal void AssertNoneSuspended()
    {
        foreach (DomainInfo domain in Hypervisor.ListDomains())
        {
            Assert.Null(domain.ShutdownReason);
        }

        // Nor one whose reboot nobody would see.
        Assert.All(Hypervisor.Guests, g => Assert.False(g.IsMonitorStopped));
    }

    public async ValueTask DisposeAsync()
    {
        await Node.DisposeAsync();
        Hypervisor.Dispose();
        Store.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private NodeCheckpointer NewNode() => new(Hypervisor, Store, DisksUsed, Options, _channels)
    {
        Log = m =>
        {
            lock (Logged)
            {
                Logged.Add(m);
            }
        },
        Fault = At,
    };

    private void At(NodeStep step)
    {
        Watch?.Invoke(step);
        if (step == NodeStep.Suspended)
        {
            _atSuspension.Clear();
            foreach (ModelGuest guest in Hypervisor.Guests.Where(g => Hypervisor.ListDomains()
                .Any(d => d.Uuid == g.Uuid && d.ShutdownReason == ShutdownReason.Suspend)))
            {
                _atSuspension[guest.Uuid] = GuestState.Of(guest);
            }
        }

        if (Strike is { } strike && strike.Step == step)
        {
            Strike = null;
            throw strike.Failure();
        }
    }
}

/// <summary>Refuses the disks of one domain.</summary>
internal sealed class RefusedDisks(string name) : IDiskProvider
{
    public IReadOnlyList<ICheckpointedDisk> Open(IDomain domain, DomainConfiguration configuration, bool memoryOnly) =>
        configuration.Name == name ? throw new DiskNotCoveredException(name, "xvda") : [];
}

/// <summary>Memory, disk and registers of a model guest.</summary>
internal sealed class GuestState
{
    private readonly Dictionary<long, ulong> _pages = [];
    private readonly Dictionary<long, ulong> _blocks = [];
    private readonly long _steps;
    private readonly ulong[] _registers;

    private GuestState(ModelGuest guest)
    {
        for (long pfn = 0; pfn < guest.PfnCount; pfn++)
        {
            if (((ModelVcpu)guest.View).IsPopulated(pfn))
            {
                _pages.Add(pfn, Hash(guest.View.ReadPage(pfn)));
            }
        }

        for (long block = 0; block < guest.Disk.BlockCount; block++)
        {
            _blocks.Add(block, Hash(guest.Disk.Read(block)));
        }

        _steps = guest.Steps;
        _registers = [.. ((ModelVcpu)guest.View).Registers];
    }

    internal static GuestState Of(ModelGuest guest) => new(guest);

    internal void AssertSame(GuestState other)
    {
        Assert.Equal(_steps, other._steps);
        Assert.Equal(_registers, other._registers);
        AssertSame("page", _pages, other._pages);
        AssertSame("block", _blocks, other._blocks);
    }

    private static void AssertSame(string what, Dictionary<long, ulong> expected, Dictionary<long, ulong> actual)
    {
        foreach ((long number, ulong hash) in expected)
        {
            Assert.True(actual.TryGetValue(number, out ulong found), $"{what} {number:x} is missing");
            Assert.True(hash == found, $"{what} {number:x} differs");
        }

        foreach (long number in actual.Keys)
        {
            Assert.True(expected.ContainsKey(number), $"{what} {number:x} should not be there");
        }
    }

    private static ulong Hash(ReadOnlySpan<byte> bytes)
    {
        ulong hash = 14695981039346656037;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            hash = BitOperations.RotateLeft(hash ^ word, 23) * 0x9E3779B97F4A7C15;
        }

        return hash;
    }
}
