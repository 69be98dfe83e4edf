namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>The domains of a lost node come up on another one.</summary>
/// <param name="Node">The lost node's name.</param>
/// <param name="To">The name of the node that brings its domains up.</param>
public sealed record DomainMove(string Node, string To);

/// <summary>What all nodes of a cluster do in one recovery; the same for each of them.</summary>
/// <param name="Line">k, at least 0.</param>
/// <param name="Incarnation">The incarnation that begins, at least 1.</param>
/// <param name="Moves">Lost nodes and where their domains come up, in the order of the lost nodes' names.</param>
/// <param name="DestroysNewer">True where domains go that are not in the checkpoint that their node goes back to; false where such a
/// node takes no part.</param>
public sealed record RecoveryOrder(long Line, int Incarnation, IReadOnlyList<DomainMove> Moves, bool DestroysNewer = false)
{
    /// <summary>Makes an order.</summary>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <param name="moves">Lost nodes and where their domains come up, in any order.</param>
    /// <param name="destroysNewer">True where domains go that are not in the checkpoint that their node goes back to.</param>
    public static RecoveryOrder Of(long line, int incarnation, IEnumerable<DomainMove> moves, bool destroysNewer = false) =>
        new(line, incarnation, [.. moves.OrderBy(m => m.Node, StringComparer.Ordinal)], destroysNewer);

    /// <summary>The nodes whose domains come up elsewhere.</summary>
    public IEnumerable<string> Lost() => Moves.Select(m => m.Node);

    /// <summary>True where two orders ask for the same.</summary>
    /// <param name="other">The other one.</param>
    public bool Equals(RecoveryOrder? other) => other is not null
        && (Line, Incarnation, DestroysNewer) == (other.Line, other.Incarnation, other.DestroysNewer) && Moves.SequenceEqual(other.Moves);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Line, Incarnation, Moves.Count);

    /// <summary>The order as a sentence's part: "line 4, incarnation 2, the domains of beta on gamma".</summary>
    public override string ToString() => FormattableString.Invariant($"line {Line}, incarnation {Incarnation}")
        + string.Concat(Moves.Select(m => $", the domains of {m.Node} on {m.To}"));
}
