using System.Runtime.CompilerServices;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>Chooses receivers, and tells who starts to send by itself and who answers.</summary>
internal sealed class Destinations
{
    // Each tenth VM is a server, so that every few nodes have one.
    private const int ServerEvery = 10;

    // A burst of all-to-all takes this part of the phase; the rest is computing.
    private const double BurstShare = 0.1;

    private readonly WorkloadKind _kind;
    private readonly double _probability;
    private readonly Topology _topology;
    private readonly Distribution _gap;
    private readonly Distribution _burst;
    private readonly Distribution _pause;
    private readonly int[] _step;
    private readonly int _width;

    private readonly Recording? _recording;

    // By VM what it sends, in the recorded order.
    private (long Time, int To)[][]? _sends;

    internal Destinations(Workload workload, Topology topology)
    {
        workload.Validate();
        _kind = workload.Kind;
        _probability = workload.Probability;
        _topology = topology;
        _gap = workload.Gap;
        _step = _kind is WorkloadKind.Halo or WorkloadKind.AllToAll or WorkloadKind.MasterWorker or WorkloadKind.Recorded
            ? new int[topology.Vms]
            : [];
        _recording = workload.Recording;
        int others = Math.Max(1, topology.Vms - 1);
        _burst = new Distribution(_gap.Kind, _gap.Mean * BurstShare, _gap.Shape);
        _pause = new Distribution(_gap.Kind, _gap.Mean * (BurstShare + ((1 - BurstShare) * others)), _gap.Shape);

        // The torus is as square as a divisor allows, so that it has no ragged edge.
        _width = (int)Math.Sqrt(topology.Vms);
        while (topology.Vms % _width != 0)
        {
            _width--;
        }
    }

    /// <summary>True where a VM sends on its own timer.</summary>
    internal bool Starts(int vm) => _kind switch
    {
        WorkloadKind.ClientServer => !IsServer(vm) || _topology.Vms == 1,
        WorkloadKind.MasterWorker => false,
        WorkloadKind.Recorded => Sends(vm).Length > 0,
        _ => _topology.Vms > 1,
    };

    /// <summary>True where a VM answers a message after a time of service.</summary>
    internal bool Answers(int vm) => _kind switch
    {
        WorkloadKind.ClientServer => IsServer(vm),
        WorkloadKind.MasterWorker => true,
        _ => false,
    };

    /// <summary>Time of service before an answer; the master of master-worker answers at once.</summary>
    internal long Service(int vm, ref RandomStream stream) =>
        _kind == WorkloadKind.MasterWorker && vm == 0 ? 0 : _gap.Next(ref stream);

    /// <summary>Time until a VM sends again.</summary>
    internal long NextGap(int vm, ref RandomStream stream) =>
        _kind == WorkloadKind.Recorded ? RecordedGap(vm) : Gap(vm).Next(ref stream);

    /// <summary>The distribution of <see cref="NextGap"/>.</summary>
    internal ref readonly Distribution Gap(int vm)
    {
        if (_kind != WorkloadKind.AllToAll)
        {
            return ref _gap;
        }

        return ref _step[vm] % (_topology.Vms - 1) == 0 ? ref _pause : ref _burst;
    }

    /// <summary>How many random numbers <see cref="Next"/> draws; null where that is not always the same, or where VMs
    /// that send by themselves draw for answers too.</summary>
    internal int? Draws => _kind switch
    {
        _ when _topology.Vms == 1 => null,
        WorkloadKind.Uniform or WorkloadKind.ClientServer => 1,
        WorkloadKind.Local => 2,
        WorkloadKind.Ring or WorkloadKind.Halo or WorkloadKind.AllToAll => 0,
        _ => null,
    };

    /// <summary>Expected messages a second of all VMs; 0 where they depend on answers.</summary>
    internal double Rate => _kind is WorkloadKind.ClientServer or WorkloadKind.MasterWorker or WorkloadKind.Recorded || _topology.Vms == 1
        ? 0
        : _topology.Vms / _gap.Mean;

    /// <summary>Chooses the receiver of what a VM sends by itself.</summary>
    internal int Next(int vm, ref RandomStream stream) => _kind switch
    {
        WorkloadKind.Uniform => Other(vm, 0, _topology.Vms, ref stream),
        WorkloadKind.Local => LocalOrNot(vm, ref stream),
        _ => NextOfOthers(vm, ref stream),
    };

    private int LocalOrNot(int vm, ref RandomStream stream)
    {
        int vms = _topology.Vms, node = _topology.NodeOf(vm);
        int first = _topology.FirstOf(node), count = _topology.CountOf(node);
        bool local = (stream.NextUnit() < _probability && count > 1) || count == vms;

        // Past itself on its own node, or past the VMs of its own node. Selected and not branched on: a processor cannot
        // foresee what is random.
        int chosen = stream.NextBelow(local ? count - 1 : vms - count) + (local ? first : 0);
        return chosen + (chosen < (local ? vm : first) ? 0 : local ? 1 : count);
    }

    private int NextOfOthers(int vm, ref RandomStream stream)
    {
        int vms = _topology.Vms;
        switch (_kind)
        {
            case WorkloadKind.Ring:
                return vm + 1 == vms ? 0 : vm + 1;

            case WorkloadKind.Halo:
                int x = vm % _width, y = vm / _width, height = vms / _width;
                int neighbour = (_step[vm]++ & 3) switch
                {
                    0 => (y * _width) + ((x + 1) % _width),
                    1 => (y * _width) + ((x + _width - 1) % _width),
                    2 => ((y + 1) % height * _width) + x,
                    _ => ((y + height - 1) % height * _width) + x,
                };

                // A torus one wide is its own neighbour across.
                return neighbour != vm ? neighbour : vm + 1 == vms ? 0 : vm + 1;

            case WorkloadKind.ClientServer:
                int servers = ((vms - 1) / ServerEvery) + 1;
                return stream.NextBelow(servers) * ServerEvery;

            case WorkloadKind.AllToAll:
                int step = _step[vm];
                _step[vm] = step + 1 == vms - 1 ? 0 : step + 1;
                return (int)(((long)vm + 1 + step) % vms);

            case WorkloadKind.Recorded:
                return Sends(vm)[_step[vm]++].To;

            case WorkloadKind.HotSpot:
                if (vm != 0 && stream.NextUnit() < _probability)
                {
                    return 0;
                }

                break;
        }

        return Other(vm, 0, vms, ref stream);
    }

    // From the present message to the next one; after the last, more than any run lasts.
    private long RecordedGap(int vm)
    {
        int next = _step[vm];
        (long Time, int To)[] sends = Sends(vm);
        return next == sends.Length ? 1L << 60 : sends[next].Time - (next == 0 ? 0 : sends[next - 1].Time);
    }

    private (long Time, int To)[] Sends(int vm) => (_sends ??= _recording!.SendsOf(_gap.Mean))[vm];

    private static bool IsServer(int vm) => vm % ServerEvery == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Other(int vm, int first, int count, ref RandomStream stream)
    {
        int chosen = first + stream.NextBelow(count - 1);
        return chosen < vm ? chosen : chosen + 1;
    }
}
