using V1 = XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Daemon;

/// <summary>What an operator wants captured.</summary>
public sealed record CheckpointOrder
{
    /// <summary>A label; may be empty.</summary>
    public string Label { get; init; } = "";

    /// <summary>Names or UUIDs of domains; empty for all.</summary>
    public IReadOnlyList<string> Domains { get; init; } = [];

    /// <summary>Leaves out disks that cannot be checkpointed.</summary>
    public bool MemoryOnly { get; init; }

    /// <summary>How long domains have to suspend themselves; null for the node's setting.</summary>
    public TimeSpan? SuspendTimeout { get; init; }

    /// <summary>Learns how far it is; may be null.</summary>
    public IProgress<V1.CheckpointProgress>? Progress { get; init; }
}
