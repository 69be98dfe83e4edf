using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>What a checker is to do.</summary>
public sealed record CheckOptions
{
    /// <summary>A line to judge, by node the ordinal of its member; null for none.</summary>
    public IReadOnlyList<long>? Line { get; init; }

    /// <summary>Intervals and dependencies that are kept before the checker judges and drops what lies before a line that
    /// is consistent for good; some 40 bytes each. Where no such line follows (domino effect) it keeps more.</summary>
    public int Window { get; init; } = 8_000_000;

    /// <summary>The most nodes for which vector clocks are kept: they cost this many numbers a message and a checkpoint.
    /// </summary>
    public int VectorClockNodes { get; init; } = 64;

    /// <summary>The most intervals for which it is judged whether rollback dependencies are trackable: that takes their
    /// square.</summary>
    public int TrackabilityIntervals { get; init; } = 4096;

    /// <summary>The most findings of a kind that are described; the rest are counted.</summary>
    public int FindingsShown { get; init; } = 20;
}

/// <summary>What a finding says is wrong.</summary>
public enum FindingKind
{
    /// <summary>A message was sent after its sender's member of a line and delivered before its receiver's.</summary>
    Orphan,

    /// <summary>A message that crosses a line was delivered without being logged.</summary>
    NotLogged,

    /// <summary>After a rollback, a delivery stands whose send was undone.</summary>
    OrphanAfterRecovery,

    /// <summary>A message of a past that was rolled back was delivered.</summary>
    Ghost,

    /// <summary>A message was delivered twice in a history that stands.</summary>
    Duplicate,

    /// <summary>A delivery was undone by a rollback, its send was not, and it was never delivered again.</summary>
    NotReplayed,

    /// <summary>A node acts after its failure without a rollback.</summary>
    ActsAfterFailure,

    /// <summary>A label is below the index of its node.</summary>
    LabelFell,

    /// <summary>Vector clocks say that a line is not consistent.</summary>
    ClocksDisagree,

    /// <summary>The protocol promises that there are no useless checkpoints, and there are.</summary>
    Useless,

    /// <summary>The protocol promises that rollback dependencies can be tracked, and some cannot.</summary>
    NotTrackable,
}

/// <summary>Something that is wrong with a run.</summary>
/// <param name="Kind">What.</param>
/// <param name="Text">One line.</param>
/// <param name="Record">The record at which it showed, from 1; 0 where only the whole shows it.</param>
public sealed record Finding(FindingKind Kind, string Text, long Record);

/// <summary>A checkpoint of a history.</summary>
/// <param name="Node">Of which node.</param>
/// <param name="Ordinal">Counted along the node's history; 0 is the initial one.</param>
/// <param name="Label">Its label.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct CheckpointId(int Node, long Ordinal, long Label);

/// <summary>The judgement of a run.</summary>
public sealed record CheckReport
{
    /// <summary>What the trace says of itself.</summary>
    public required TraceHeader Header { get; init; }

    /// <summary>Records read.</summary>
    public required long Records { get; init; }

    /// <summary>Messages sent.</summary>
    public required long Sends { get; init; }

    /// <summary>Deliveries, also those undone later.</summary>
    public required long Receives { get; init; }

    /// <summary>Messages sent in a history that stands, and neither delivered nor known to be lost.</summary>
    public required long InFlight { get; init; }

    /// <summary>Messages known to be lost.</summary>
    public required long Lost { get; init; }

    /// <summary>Basic checkpoints saved.</summary>
    public required long Basic { get; init; }

    /// <summary>Forced checkpoints saved.</summary>
    public required long Forced { get; init; }

    /// <summary>Other checkpoints saved.</summary>
    public required long Other { get; init; }

    /// <summary>Checkpoints that failed.</summary>
    public required long CheckpointsFailed { get; init; }

    /// <summary>Failures of nodes.</summary>
    public required long Failures { get; init; }

    /// <summary>Rollbacks.</summary>
    public required long Rollbacks { get; init; }

    /// <summary>Checkpoints undone by rollbacks.</summary>
    public required long CheckpointsUndone { get; init; }

    /// <summary>Checkpoints of the history that stands that can be part of no consistent line: they lie on a Z-cycle.
    /// </summary>
    public required long Useless { get; init; }

    /// <summary>The first of them.</summary>
    public required IReadOnlyList<CheckpointId> UselessShown { get; init; }

    /// <summary>By node the ordinal of its member of the greatest consistent line at the end of the trace.</summary>
    public required IReadOnlyList<long> GreatestLine { get; init; }

    /// <summary>Were all nodes to fail at the end: the most checkpoints that one would lose.</summary>
    public required long RollbackDistanceMax { get; init; }

    /// <summary>The same, on average over the nodes.</summary>
    public required double RollbackDistanceMean { get; init; }

    /// <summary>Were one node to fail at the end: the most nodes that would have to roll back, over all choices; null
    /// where there are more nodes than <see cref="CheckOptions.VectorClockNodes"/>.</summary>
    public required int? SingleFailureNodesMax { get; init; }

    /// <summary>Domino effect: nodes that have checkpoints of their own, and would have to begin anew.</summary>
    public required int DominoNodes { get; init; }

    /// <summary>True where vector clocks judged the lines too.</summary>
    public required bool VectorClocks { get; init; }

    /// <summary>Pairs of a checkpoint and one that depends on it without its vector clock showing that; null where it was
    /// not judged.</summary>
    public required long? Untrackable { get; init; }

    /// <summary>Everything found wrong: counts by kind.</summary>
    public required IReadOnlyDictionary<FindingKind, long> Counts { get; init; }

    /// <summary>The first findings of each kind.</summary>
    public required IReadOnlyList<Finding> Findings { get; init; }

    /// <summary>True where nothing was found wrong.</summary>
    public bool Sound => Counts.Count == 0;
}
