namespace XenTwoLevelCkpt.Cluster.Timelines;

/// <summary>What a mark on a node's line stands for.</summary>
public enum MarkKind
{
    /// <summary>The initial checkpoint.</summary>
    Initial,

    /// <summary>A basic checkpoint.</summary>
    Basic,

    /// <summary>A checkpoint that a message forced.</summary>
    Forced,

    /// <summary>A checkpoint for any other reason.</summary>
    Other,

    /// <summary>A checkpoint that was not saved.</summary>
    Failed,

    /// <summary>A message left that forced a checkpoint elsewhere.</summary>
    Send,

    /// <summary>The node's state was lost.</summary>
    Failure,

    /// <summary>The node went back to a checkpoint.</summary>
    Rollback,
}

/// <summary>A mark on a node's line.</summary>
public sealed class Mark
{
    /// <summary>What it stands for.</summary>
    public required MarkKind Kind { get; init; }

    /// <summary>The node, from 0.</summary>
    public required int Node { get; init; }

    /// <summary>Checkpoints: the label. <see cref="MarkKind.Send"/>: the index that the message carries.
    /// <see cref="MarkKind.Rollback"/>: the index after it.</summary>
    public long Index { get; init; }

    /// <summary>Where it stands, from 0: to the right of all that it depends on. It is no time; a trace has none.</summary>
    public int Column { get; internal set; }

    /// <summary>True where a rollback has undone it.</summary>
    public bool Undone { get; internal set; }

    /// <summary><see cref="MarkKind.Forced"/>: the sending of the message that forced it; null where the trace has none.
    /// <see cref="MarkKind.Rollback"/>: the checkpoint that the node went back to.</summary>
    public Mark? Cause { get; internal set; }

    internal bool IsCheckpoint => Kind is >= MarkKind.Initial and <= MarkKind.Other;
}

/// <summary>A run of nodes as a space-time diagram: checkpoints, the messages that forced them, failures, rollbacks, the
/// recovery line. Messages that forced nothing are not in it.</summary>
public sealed class Timeline
{
    internal Timeline(int nodes, string protocol, IReadOnlyList<Mark> marks, long? line, IReadOnlyList<Mark?> members)
    {
        Nodes = nodes;
        Protocol = protocol;
        Marks = marks;
        Line = line;
        Members = members;
    }

    /// <summary>Nodes of the run.</summary>
    public int Nodes { get; }

    /// <summary>The protocol's name; may be empty.</summary>
    public string Protocol { get; }

    /// <summary>The marks, those of each node in their order.</summary>
    public IReadOnlyList<Mark> Marks { get; }

    /// <summary>k of the latest line that all nodes have reached; null where the protocol's indexes do not tell lines.
    /// </summary>
    public long? Line { get; }

    /// <summary>By node its member of that line; null where there is none.</summary>
    public IReadOnlyList<Mark?> Members { get; }

    /// <summary>Columns in use.</summary>
    public int Columns => Marks.Count == 0 ? 0 : Marks.Max(mark => mark.Column) + 1;
}
