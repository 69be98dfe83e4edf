namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>A cluster as a recovery's leader found it.</summary>
/// <param name="Members">All nodes that the leader is told of.</param>
public sealed record ClusterState(IReadOnlyList<MemberState> Members)
{
    /// <summary>The nodes that answer.</summary>
    public IEnumerable<MemberState> Answering => Members.Where(m => m.Problem is null);

    /// <summary>The greatest line that no failure takes the cluster back behind: the least durable index over all nodes, for
    /// one that does not answer the greatest that another node has heard of it. Null where that is not known.</summary>
    public long? SafeLine
    {
        get
        {
            long?[] durable = [.. Members.Select(m => DurableIndexOf(m.Name))];
            return Array.TrueForAll(durable, index => index is not null) && durable.Length > 0
                ? Garbage.SafeLine(durable.Select(index => index!.Value))
                : null;
        }
    }

    /// <summary>The member of a name, or null.</summary>
    /// <param name="name">The name.</param>
    public MemberState? Find(string name) => Members.FirstOrDefault(m => m.Name == name);

    /// <summary>The durable index of a node, by its own word or by the latest that another one has heard.</summary>
    /// <param name="name">The node.</param>
    /// <returns>Null where nobody knows.</returns>
    public long? DurableIndexOf(string name) => Find(name) is { Problem: null } member
        ? member.DurableIndex
        : Answering.Where(m => m.Heard.ContainsKey(name)).Select(m => (long?)m.Heard[name]).Max();
}

/// <summary>A node as a recovery's leader found it. What follows <see cref="Problem"/> has no meaning where that is set.</summary>
public sealed record MemberState
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Why it does not answer; null where it does.</summary>
    public string? Problem { get; init; }

    /// <summary>The greatest index whose checkpoint is durable.</summary>
    public long DurableIndex { get; init; }

    /// <summary>True where its present state is gone: it can only go back.</summary>
    public bool AwaitsRecovery { get; init; }

    /// <summary>True where it went on in the incarnation of the order that it has begun, and its state is gone since: it cannot end
    /// that one, as what it sent in that incarnation would be sent a second time.</summary>
    public bool LostInBegun { get; init; }

    /// <summary>How many domains it has.</summary>
    public long Domains { get; init; }

    /// <summary>What it has on disk about recoveries.</summary>
    public RecoveryRecords Records { get; init; } = new(0, null, null, null);

    /// <summary>Lost nodes of its last order whose domains it knows to be in their new place for good: every line that a failure can still
    /// take the cluster back to has them there.</summary>
    public IReadOnlyCollection<string> Settled { get; init; } = [];

    /// <summary>By node the durable index that it last heard of it.</summary>
    public IReadOnlyDictionary<string, long> Heard { get; init; } = new Dictionary<string, long>();
}

/// <summary>A domain.</summary>
/// <param name="Uuid">Its UUID.</param>
/// <param name="Name">Its name, for people.</param>
public sealed record DomainName(Guid Uuid, string Name);

/// <summary>What a node would do in a recovery.</summary>
/// <param name="Node">The node.</param>
/// <param name="Restores">Domains that it restores.</param>
/// <param name="Keeps">Domains of it that stay as they are.</param>
public sealed record NodePart(string Node, IReadOnlyList<DomainName> Restores, IReadOnlyList<DomainName> Keeps);

/// <summary>What an operator wants of a recovery.</summary>
/// <param name="Lost">The nodes that are lost; empty where all go back.</param>
/// <param name="To">The node that brings their domains up; null to choose that with the fewest domains.</param>
/// <param name="At">The line k; null for the latest one possible.</param>
/// <param name="DestroysNewer">True where domains go that are not in the checkpoint that their node goes back to.</param>
public sealed record RecoveryWish(IReadOnlyList<string> Lost, string? To = null, long? At = null, bool DestroysNewer = false);

/// <summary>What a recovery's leader is to do.</summary>
public abstract record RecoveryDecision
{
    private RecoveryDecision()
    {
    }

    /// <summary>The wish cannot be.</summary>
    /// <param name="Why">Why, and what to do, as sentences.</param>
    public sealed record Refused(string Why) : RecoveryDecision;

    /// <summary>What is wished for has been done.</summary>
    /// <param name="Order">By this order.</param>
    public sealed record Done(RecoveryOrder Order) : RecoveryDecision;

    /// <summary>All nodes promise the order, then all carry it out.</summary>
    /// <param name="Order">The order.</param>
    /// <param name="After">The newest incarnation that has begun on any node (<see cref="RecoveryPromises.OnPrepare"/>).</param>
    /// <param name="Resumed">True where some node has begun it before.</param>
    /// <param name="IsNeeded">True where a node has failed, or is lost, or a recovery has begun: otherwise nothing is wrong, and only
    /// an operator can want that all guests go back.</param>
    public sealed record Lead(RecoveryOrder Order, int After, bool Resumed, bool IsNeeded) : RecoveryDecision;
}
