namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>What a node does in a recovery.</summary>
public enum RecoveryStep
{
    /// <summary>It goes back to a checkpoint (<see cref="ProtocolNode{TProtocol, TPiggyback}.OnRollback"/>).</summary>
    RollBack,

    /// <summary>It takes a checkpoint with label k and goes on
    /// (<see cref="ProtocolNode{TProtocol, TPiggyback}.OnSurvive"/>).</summary>
    Checkpoint,

    /// <summary>It goes on as it is, in the new incarnation.</summary>
    GoOn,
}

/// <summary>A node as a recovery finds it.</summary>
public sealed record NodeStatus
{
    /// <summary>True where its present state is gone.</summary>
    public required bool Failed { get; init; }

    /// <summary>Its index now; of no meaning where it failed.</summary>
    public required long Index { get; init; }

    /// <summary>Its checkpoints in order of taking, the initial one first unless garbage was removed. Of a failed node
    /// only those that are durable.</summary>
    public required IReadOnlyList<StoredCheckpoint> Checkpoints { get; init; }
}

/// <summary>What is to be done after a failure.</summary>
public sealed record RecoveryPlan
{
    /// <summary>k, the least over the failed nodes of their latest durable index; 0 for a line found by propagation.
    /// </summary>
    public required long Line { get; init; }

    /// <summary>The incarnation that begins.</summary>
    public required int Incarnation { get; init; }

    /// <summary>By node what it does.</summary>
    public required IReadOnlyList<RecoveryStep> Steps { get; init; }

    /// <summary>By node the place of its member in its checkpoints, where it rolls back; -1 elsewhere.</summary>
    public required IReadOnlyList<int> Members { get; init; }

    /// <summary>The failure rule of index-based protocols (Manivannan, Singhal 1996): nodes that have reached k go back to
    /// their member of L_k; the others checkpoint with label k and go on.</summary>
    /// <param name="nodes">All nodes.</param>
    /// <param name="incarnation">The incarnation that ends.</param>
    /// <exception cref="ArgumentException">No node failed, or one has no checkpoint that it could go back to.</exception>
    public static RecoveryPlan ByIndex(IReadOnlyList<NodeStatus> nodes, int incarnation)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        long line = long.MaxValue;
        foreach (NodeStatus node in nodes)
        {
            if (node.Failed)
            {
                line = Math.Min(line, node.Checkpoints.Count > 0
                    ? node.Checkpoints[^1].Reach
                    : throw new ArgumentException("a failed node has no durable checkpoint; not even its initial state is left", nameof(nodes)));
            }
        }

        if (line == long.MaxValue)
        {
            throw new ArgumentException("no node failed; there is nothing to recover from", nameof(nodes));
        }

        RecoveryStep[] steps = new RecoveryStep[nodes.Count];
        int[] members = new int[nodes.Count];
        for (int i = 0; i < steps.Length; i++)
        {
            NodeStatus node = nodes[i];
            bool reached = node.Failed || node.Index >= line;
            members[i] = reached ? RecoveryLine.Member([.. node.Checkpoints], line) : -1;
            if (reached && members[i] < 0)
            {
                throw new ArgumentException($"node {i} is at index {node.Index} and has no checkpoint for line {line}", nameof(nodes));
            }

            steps[i] = reached ? RecoveryStep.RollBack : RecoveryStep.Checkpoint;
        }

        return new() { Line = line, Incarnation = checked(incarnation + 1), Steps = steps, Members = members };
    }

    /// <summary>The failure rule for any protocol: failed nodes go back to their latest durable checkpoint or before,
    /// survivors only as far as rollback propagation makes them.</summary>
    /// <param name="nodes">All nodes, each with all of its checkpoints from the initial one.</param>
    /// <param name="dependencies">All deliveries of the history that stands.</param>
    /// <param name="incarnation">The incarnation that ends.</param>
    /// <exception cref="ArgumentException">As for <see cref="ByIndex"/>.</exception>
    public static RecoveryPlan ByPropagation(
        IReadOnlyList<NodeStatus> nodes, IEnumerable<IntervalDependency> dependencies, int incarnation)
    {
        ArgumentNullException.ThrowIfNull(nodes);
        if (!nodes.Any(node => node.Failed))
        {
            throw new ArgumentException("no node failed; there is nothing to recover from", nameof(nodes));
        }

        long[] latest = new long[nodes.Count];
        for (int i = 0; i < latest.Length; i++)
        {
            if (nodes[i].Checkpoints.Count == 0)
            {
                throw new ArgumentException($"node {i} has no checkpoint; not even its initial state is left", nameof(nodes));
            }

            latest[i] = nodes[i].Failed ? nodes[i].Checkpoints.Count - 1 : nodes[i].Checkpoints.Count;
        }

        long[] line = RecoveryLine.Greatest(latest, dependencies);
        RecoveryStep[] steps = new RecoveryStep[latest.Length];
        int[] members = new int[latest.Length];
        for (int i = 0; i < steps.Length; i++)
        {
            bool goesOn = line[i] == nodes[i].Checkpoints.Count;
            steps[i] = goesOn ? RecoveryStep.GoOn : RecoveryStep.RollBack;
            members[i] = goesOn ? -1 : (int)line[i];
        }

        return new() { Line = 0, Incarnation = checked(incarnation + 1), Steps = steps, Members = members };
    }
}
