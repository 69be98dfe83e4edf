using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>VMs on nodes: VM v is on node v / <see cref="VmsPerNode"/>. The last node may have fewer.</summary>
[StructLayout(LayoutKind.Auto)]
public readonly record struct Topology
{
    /// <summary>Places VMs on nodes.</summary>
    /// <param name="vms">VMs, 1 to 2^24: a million fits, and piggybacked vectors of more would not.</param>
    /// <param name="vmsPerNode">The most VMs of one node, at least 1.</param>
    /// <exception cref="ArgumentException">A number is out of range.</exception>
    public Topology(int vms, int vmsPerNode)
    {
        if (vms is < 1 or > 1 << 24)
        {
            throw new ArgumentException($"{vms} VMs: there have to be 1 to {1 << 24}");
        }

        if (vmsPerNode < 1)
        {
            throw new ArgumentException($"{vmsPerNode} VMs a node: there has to be at least 1");
        }

        Vms = vms;
        VmsPerNode = Math.Min(vms, vmsPerNode);
        Nodes = ((vms - 1) / VmsPerNode) + 1;
    }

    /// <summary>VMs.</summary>
    public int Vms { get; }

    /// <summary>The most VMs of one node.</summary>
    public int VmsPerNode { get; }

    /// <summary>Nodes.</summary>
    public int Nodes { get; }

    /// <summary>The node of a VM.</summary>
    /// <param name="vm">The VM.</param>
    public int NodeOf(int vm) => (int)((uint)vm / (uint)VmsPerNode);

    /// <summary>The first VM of a node.</summary>
    /// <param name="node">The node.</param>
    public int FirstOf(int node) => node * VmsPerNode;

    /// <summary>How many VMs a node has.</summary>
    /// <param name="node">The node.</param>
    public int CountOf(int node) => Math.Min(VmsPerNode, Vms - (node * VmsPerNode));
}
