using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>A node's messages as its recovery sees them.</summary>
/// <param name="Index">The node's index.</param>
/// <param name="Incarnation">The incarnation that the messages are in.</param>
/// <param name="AwaitsRecovery">True where the node has been running before and its channels are gone with the process.</param>
/// <param name="AwaitsAdoption">True where domains of a lost node come here before frames are carried.</param>
/// <param name="Raises">True where a checkpoint has begun and has not ended.</param>
internal sealed record MessagesState(
    long Index, int Incarnation, bool AwaitsRecovery = false, bool AwaitsAdoption = false, bool Raises = false);

/// <summary>A node's member of a line: the checkpoint that it goes back to.</summary>
/// <param name="Epoch">The checkpoint's epoch.</param>
/// <param name="Index">The checkpoint's index.</param>
/// <param name="Domains">The domains in it, by UUID.</param>
internal sealed record LineMember(ulong Epoch, long Index, IReadOnlyList<Guid> Domains);

/// <summary>A lost node's member of a line, whose domains come to this node.</summary>
/// <param name="Node">The lost node.</param>
/// <param name="Epoch">The epoch of the checkpoint in the lost node's store.</param>
/// <param name="Domains">The domains in it, by UUID.</param>
internal sealed record AdoptedMember(string Node, ulong Epoch, IReadOnlyList<Guid> Domains);

/// <summary>A node's part of a recovery as it was planned. It does not change while it is carried out.</summary>
/// <param name="Order">What all nodes do.</param>
internal abstract record RecoveryPart(RecoveryOrder Order)
{
    /// <summary>True on a node without peers: it keeps no account of lost nodes.</summary>
    public bool IsAlone { get; init; }

    /// <summary>Lost nodes whose domains come here.</summary>
    public IReadOnlyList<AdoptedMember> Adopted { get; init; } = [];

    /// <summary>What the record says while the part is carried out.</summary>
    public PendingRecovery What => new(Order, this is RollBackPart);

    /// <summary>True where domains of a lost node come here.</summary>
    public bool Adopts => Adopted.Count > 0;

    /// <summary>The domains of lost nodes that come here, by UUID.</summary>
    public IEnumerable<Guid> AdoptedDomains => Adopted.SelectMany(a => a.Domains);

    /// <summary>All nodes that are lost once the part is carried out.</summary>
    /// <param name="known">Those that are lost before.</param>
    public IReadOnlyList<Departure> Departures(IReadOnlyList<Departure> known) =>
        IsAlone ? known : RecoveryChoices.DeparturesWith(known, Order);
}

/// <summary>The node's domains go back.</summary>
/// <param name="Order">What all nodes do.</param>
/// <param name="Member">What the node goes back to.</param>
/// <param name="LastEpoch">The last epoch in the store: those between it and the member's are of the past that is gone.</param>
internal sealed record RollBackPart(RecoveryOrder Order, LineMember Member, ulong LastEpoch) : RecoveryPart(Order)
{
    /// <summary>Domains that are not in the member and go, by UUID.</summary>
    public IReadOnlyList<Guid> Newer { get; init; } = [];
}

/// <summary>The node takes a checkpoint where the line needs one, and goes on.</summary>
/// <param name="Order">What all nodes do.</param>
internal sealed record GoOnPart(RecoveryOrder Order) : RecoveryPart(Order);
