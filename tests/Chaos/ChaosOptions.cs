namespace XenTwoLevelCkpt.Chaos;

/// <summary>What is done to the cluster.</summary>
public enum Fault
{
    /// <summary>Daemons are killed, and their guests with them.</summary>
    Kill,

    /// <summary>A daemon is told to end.</summary>
    Terminate,

    /// <summary>A link breaks, and stays so for a while.</summary>
    CutLink,

    /// <summary>A link is slow for a while.</summary>
    SlowLink,

    /// <summary>Nothing passes a link for a while, and its connections stay open.</summary>
    StallLink,

    /// <summary>A node's store is not there for a while.</summary>
    StoreAway,

    /// <summary>The storage that all nodes share is full for a while.</summary>
    StorageFull,

    /// <summary>All nodes go back, though none has failed.</summary>
    Recover,

    /// <summary>Whoever leads a recovery gives it up in the middle.</summary>
    GiveUpRecovery,

    /// <summary><c>xtlctl cluster recover</c> is killed in the middle.</summary>
    KillLeader,

    /// <summary>A daemon is killed in the middle of a recovery.</summary>
    KillInRecovery,

    /// <summary>What no recovery needs is removed.</summary>
    CollectGarbage,

    /// <summary>A node is lost for good, and its guests go on on another one. Not where fewer than two others would be left, nor
    /// while those of the node lost before are not settled.</summary>
    LoseNode,
}

/// <summary>A run.</summary>
public sealed record ChaosOptions
{
    /// <summary>Nodes.</summary>
    public int Nodes { get; init; } = 3;

    /// <summary>Guests of each.</summary>
    public int Guests { get; init; } = 2;

    /// <summary>Rounds.</summary>
    public int Rounds { get; init; } = 20;

    /// <summary>Decides what is done to whom and for how long. What the cluster does meanwhile is its own affair, so a seed
    /// brings back the faults and not every moment of a run.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>After how many rounds the money is counted; it also is after the last one.</summary>
    public int CountEvery { get; init; } = 5;

    /// <summary>The share of requests to suspend that guests ignore.</summary>
    public double FailSuspends { get; init; } = 0.03;

    /// <summary>The faults of each round; null for random ones.</summary>
    public IReadOnlyList<IReadOnlyList<Fault>>? Plan { get; init; }

    /// <summary>The folder for everything that the nodes write. It is removed where all is well.</summary>
    public required string Folder { get; init; }
}
