namespace XenTwoLevelCkpt.Protocol;

/// <summary>How the recovery line L_k of a protocol is found.</summary>
public enum LineRule : byte
{
    /// <summary>Of each node the first checkpoint with a label of at least k.</summary>
    FirstAtLeast,

    /// <summary>Of each node the last checkpoint at or before the moment at which its index first reached k: the index
    /// also rises without a checkpoint.</summary>
    LastBeforeReaching,

    /// <summary>The index alone does not tell: the greatest consistent line by rollback propagation.</summary>
    Propagation,
}

/// <summary>What a protocol is called, where it is from, and what it promises.</summary>
public sealed record ProtocolTraits
{
    /// <summary>The short name on command lines and in results, in lower case.</summary>
    public required string Name { get; init; }

    /// <summary>Authors, paper and year.</summary>
    public required string Source { get; init; }

    /// <summary>How recovery lines are found.</summary>
    public required LineRule Line { get; init; }

    /// <summary>Bytes that each message carries beside its incarnation: this much whatever the number of nodes, with
    /// 8-byte indices.</summary>
    public required int PiggybackBytes { get; init; }

    /// <summary>Bits that each message carries for each node of the system; 0 for scalar protocols.</summary>
    public int PiggybackBitsPerNode { get; init; }

    /// <summary>True where no checkpoint is ever on a Z-cycle.</summary>
    public bool NoUselessCheckpoints { get; init; }

    /// <summary>True where every rollback dependency can be tracked on line (Wang 1997): each Z-path between checkpoints
    /// has a causal one beside it.</summary>
    public bool RollbackDependencyTrackable { get; init; }

    /// <summary>True where nodes announce checkpoints with messages of their own.</summary>
    public bool SendsControlMessages { get; init; }

    /// <summary>Bytes that each message carries in a system of so many nodes, beside its incarnation.</summary>
    /// <param name="nodes">Nodes, at least 1.</param>
    public long PiggybackSize(int nodes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(nodes, 1);
        return PiggybackBytes + ((((long)PiggybackBitsPerNode * nodes) + 7) / 8);
    }
}
