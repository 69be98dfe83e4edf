namespace XenTwoLevelCkpt.Checkpointing.Node.Selection;

/// <summary>What becomes of a checkpoint where a domain cannot be part of it.</summary>
public enum UnableRule
{
    /// <summary>The checkpoint fails, and says why.</summary>
    Fail,

    /// <summary>The domain is left out; report, log and manifest name it, with the reason.</summary>
    Skip,
}

/// <summary>What an operator wants of one domain. What is null is the node's setting.</summary>
public sealed record DomainPolicy
{
    /// <summary>Whether it takes part.</summary>
    public bool Include { get; init; } = true;

    /// <summary>As <see cref="NodeOptions.MemoryOnly"/>.</summary>
    public bool? MemoryOnly { get; init; }

    /// <summary>As <see cref="NodeOptions.SuspendTimeout"/>.</summary>
    public TimeSpan? SuspendTimeout { get; init; }

    /// <summary>As <see cref="NodeOptions.WhenUnable"/>.</summary>
    public UnableRule? WhenUnable { get; init; }
}
