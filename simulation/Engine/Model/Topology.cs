using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>VMs on nodes: VM v is on node v / <see cref="VmsPerNode"/>. The last node may have fewer.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly record struct Topology
{
    // Xen's domain ids end at DOMID_FIRST_RESERVED (0x7FF0). Division by multiplication rests on it too: with 40 bits it
    // is exact for 24-bit numbers of VMs and divisors below 2^16.
    private const int MostVmsPerNode = 0x7FF0;

    private readonly ulong _reciprocal;

    /// <summary>Places VMs on nodes.</summary>
    /// <param name="vms">VMs, 1 to 2^24: a million fits, and piggybacked vectors of more would not.</param>
    /// <param name="vmsPerNode">The most VMs of one node, at least 1.</param>
    /// <exception cref="SettingsException">A number is out of range.</exception>
    public Topology(int vms, int vmsPerNode)
    {
        if (vms is < 1 or > 1 << 24)
        {
            throw new SettingsException($"{vms} VMs: there have to be 1 to {1 << 24}");
        }

        if (vmsPerNode is < 1 or > MostVmsPerNode)
        {
            throw new SettingsException($"{vmsPerNode} VMs a node: there have to be 1 to {MostVmsPerNode}");
        }

        Vms = vms;
        VmsPerNode = Math.Min(vms, vmsPerNode);
        Nodes = ((vms - 1) / VmsPerNode) + 1;
        _reciprocal = ((1UL << 40) / (uint)VmsPerNode) + 1;
    }

    /// <summary>VMs.</summary>
    public int Vms { get; }

    /// <summary>The most VMs of one node.</summary>
    public int VmsPerNode { get; }

    /// <summary>Nodes.</summary>
    public int Nodes { get; }

    /// <summary>The node of a VM.</summary>
    /// <param name="vm">The VM.</param>
    public int NodeOf(int vm) => (int)(((ulong)(uint)vm * _reciprocal) >> 40);

    /// <summary>The first VM of a node.</summary>
    /// <param name="node">The node.</param>
    public int FirstOf(int node) => node * VmsPerNode;

    /// <summary>How many VMs a node has.</summary>
    /// <param name="node">The node.</param>
    public int CountOf(int node) => Math.Min(VmsPerNode, Vms - (node * VmsPerNode));
}
