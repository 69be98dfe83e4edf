using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>Nodes and leaders of recoveries in one thread, by seed: leaders plan at one time and act at another, several at once, and
/// die; nodes fail, restart in the middle of their part, or are lost for good; operators name nodes as lost that live. What a node
/// has on disk survives. Each call of a leader to a node is one event.</summary>
internal sealed class RecoverySimulation
{
    private readonly Random _random;
    private readonly List<Node> _nodes;
    private readonly List<Leader> _leaders = [];
    private readonly Dictionary<int, RecoveryOrder> _begun = [];

    internal RecoverySimulation(int seed)
    {
        _random = new Random(seed);
        _nodes = [.. Enumerable.Range(0, _random.Next(2, 6)).Select(i => new Node($"n{i}"))];
    }

    /// <summary>Recoveries that all nodes have done.</summary>
    internal int Ended { get; private set; }

    /// <summary>Orders that some node has begun.</summary>
    internal int Begun => _begun.Count;

    /// <summary>Orders in place of one that was begun.</summary>
    internal int Replaced { get; private set; }

    /// <summary>Nodes that were lost.</summary>
    internal int Lost => _nodes.Count(n => n.IsLost);

    internal Func<ClusterState, RecoveryWish, RecoveryDecision> Planner { get; init; } = ClusterRecoveryPlanner.Plan;

    internal Func<RecoveryRecords, RecoveryOrder, int, OrderVerdict> Prepare { get; init; } =
        (records, order, after) => RecoveryPromises.OnPrepare(records, order, after, out _);

    internal Func<RecoveryRecords, RecoveryOrder, OrderVerdict> CarryOut { get; init; } =
        (records, order) => RecoveryPromises.OnCarryOut(records, order, out _);

    /// <summary>Learns how the cluster is brought back; may be null.</summary>
    internal Action<string>? Trace { get; init; }

    /// <summary>Lets things happen, and then one operator who makes no mistake bring the cluster back.</summary>
    /// <returns>What went wrong; null for nothing.</returns>
    internal string? Run(int events)
    {
        for (int i = 0; i < events; i++)
        {
            if (Step() is { } problem)
            {
                return $"event {i}: {problem}";
            }
        }

        _leaders.Clear();
        return BringBack();
    }

    private string? Step()
    {
        Node node = _nodes[_random.Next(_nodes.Count)];
        switch (_random.Next(16))
        {
            case 0 when !node.IsLost:
                node.Fail();
                return null;
            case 1 when !node.IsLost && _nodes.Count(n => !n.IsLost) > 1 && _random.Next(4) == 0:
                node.IsLost = true;
                return null;
            case 2 or 3:
                _leaders.Add(new Leader(Wish()));
                return null;
            case 4 when _leaders.Count > 0:
                _leaders.RemoveAt(_random.Next(_leaders.Count));
                return null;
            case 5 or 6 or 7 when !node.IsLost:
                node.Checkpoint();
                _nodes[_random.Next(_nodes.Count)].Hear(node);
                return null;
            default:
                return _leaders.Count == 0 ? null : Advance(_leaders[_random.Next(_leaders.Count)]);
        }
    }

    // Mostly what is so; now and then an operator is wrong.
    private RecoveryWish Wish()
    {
        string[] lost = [.. _nodes.Where(n => n.IsLost != (_random.Next(16) == 0)).Select(n => n.Name)];
        string? to = _random.Next(2) == 0 || lost.Length == 0 ? null : _nodes[_random.Next(_nodes.Count)].Name;
        return new RecoveryWish(lost, to, _random.Next(6) == 0 ? _random.Next(6) : null);
    }

    private string? Advance(Leader leader)
    {
        if (leader.Plan is not { } plan)
        {
            if (Planner(new ClusterState([.. _nodes.Select(n => n.Seen())]), leader.Wish) is RecoveryDecision.Lead lead)
            {
                leader.Plan = lead;
                leader.Left = Shuffled(lead.Order);
            }
            else
            {
                _ = _leaders.Remove(leader);
            }

            return null;
        }

        if (leader.Left.Count == 0 && !leader.HasPromises)
        {
            leader.HasPromises = true;
            leader.Left = Shuffled(plan.Order);
        }

        if (leader.Left.TryPop(out Node? node))
        {
            if (node.IsLost || !(leader.HasPromises ? Begin(node, plan.Order) : Promise(node, plan)))
            {
                _ = _leaders.Remove(leader);
            }

            return Judge();
        }

        Ended++;
        _ = _leaders.Remove(leader);
        return null;
    }

    private Stack<Node> Shuffled(RecoveryOrder order) =>
        new(_nodes.Where(n => !order.Lost().Contains(n.Name)).OrderBy(_ => _random.Next()));

    private bool Promise(Node node, RecoveryDecision.Lead plan)
    {
        OrderVerdict verdict = Prepare(node.Records, plan.Order, plan.After);
        if (verdict == OrderVerdict.Promise)
        {
            if (!node.CanDo(plan.Order))
            {
                return false;
            }

            node.Records = node.Records with { Promised = plan.Order };
        }

        return verdict != OrderVerdict.Refuse;
    }

    private bool Begin(Node node, RecoveryOrder order)
    {
        OrderVerdict verdict = CarryOut(node.Records, order);
        if (verdict != OrderVerdict.CarryOut)
        {
            return verdict == OrderVerdict.Done;
        }

        if (!node.CanDo(order))
        {
            return false;
        }

        Replaced += node.Records.Begun is { } other && other != order ? 1 : 0;
        _violation ??= _begun.TryGetValue(order.Incarnation, out RecoveryOrder? begun) && begun != order
            ? $"{begun} and {order} have both begun"
            : null;
        _begun[order.Incarnation] = order;
        node.Begin(order);

        // It may end in the middle, and its daemon be started anew.
        if (_random.Next(5) == 0)
        {
            node.Fail();
            return false;
        }

        node.End(order);
        return true;
    }

    private string? _violation;

    // A lost node's domains run in one place, of those that live.
    private string? Judge()
    {
        foreach (string name in _nodes.Select(n => n.Name))
        {
            string[] homes = [.. _nodes.Where(n => !n.IsLost && n.Runs.Contains(name)).Select(n => n.Name)];
            if (homes.Length > 1)
            {
                return $"the domains of {name} run on {string.Join(" and ", homes)}";
            }
        }

        return _violation;
    }

    private string? BringBack()
    {
        var told = _nodes.ToList();
        string last = "";
        for (int i = 0; i < 12; i++)
        {
            if (told.All(n => n.IsLost || n is { Awaits: false, Records.Begun: null }) && told.Where(n => !n.IsLost).Select(n => n.Records.Incarnation).Distinct().Count() == 1
                && told.All(n => !n.IsLost || _nodes.Any(m => !m.IsLost && m.Runs.Contains(n.Name))))
            {
                return Judge();
            }

            var state = new ClusterState([.. told.Select(n => n.Seen())]);
            var wish = new RecoveryWish([.. told.Where(n => n.IsLost).Select(n => n.Name)]);
            RecoveryDecision decision = Planner(state, wish);
            if (decision is RecoveryDecision.Refused { Why: var why } && why.Contains("Name the line with --at", StringComparison.Ordinal))
            {
                decision = Planner(state, wish with { At = 0 });
            }

            Trace?.Invoke($"attempt {i}: {decision}; {string.Join("; ", _nodes)}");
            if (decision is RecoveryDecision.Refused refused)
            {
                last = refused.Why;
                if (!last.Contains("Take ", StringComparison.Ordinal))
                {
                    return $"no way out: {last}";
                }

                // As it says: those that have a home for good are taken out.
                if (told.RemoveAll(n => n.IsLost && _nodes.Any(m => !m.IsLost && m.Runs.Contains(n.Name) && m.Settled.Contains(n.Name))) == 0)
                {
                    return $"no way out: {last}";
                }
            }

            if (decision is RecoveryDecision.Lead lead)
            {
                bool all = lead.Order is not null;
                foreach (Node node in told.Where(n => !lead.Order!.Lost().Contains(n.Name)))
                {
                    all &= Promise(node, lead);
                }

                foreach (Node node in all ? told.Where(n => !lead.Order!.Lost().Contains(n.Name)) : [])
                {
                    _ = Begin(node, lead.Order!);
                }

                last = $"{lead.Order} after {lead.After}: {(all ? "carried out" : "not promised")}";
                if (Judge() is { } problem)
                {
                    return problem;
                }
            }
        }

        return $"no way out in 12 attempts: {last}; {string.Join("; ", _nodes)}";
    }

    private sealed class Leader(RecoveryWish wish)
    {
        internal RecoveryWish Wish { get; } = wish;

        internal RecoveryDecision.Lead? Plan { get; set; }

        internal Stack<Node> Left { get; set; } = [];

        internal bool HasPromises { get; set; }
    }

    private sealed class Node(string name)
    {
        private readonly Dictionary<string, long> _heard = [];
        private readonly List<long> _checkpoints = [0];
        private bool _goesOn;

        internal string Name => name;

        internal bool IsLost { get; set; }

        internal bool Awaits { get; private set; }

        internal RecoveryRecords Records { get; set; } = new(0, null, null, null);

        /// <summary>Whose domains it has.</summary>
        internal HashSet<string> Runs { get; } = [name];

        internal List<string> Settled { get; } = [];

        public override string ToString() => $"{name}{(IsLost ? " lost" : "")}{(Awaits ? " awaits" : "")} at {_checkpoints[^1]} {Records}";

        // The process ends: what was on its way is gone with it.
        internal void Fail() => Awaits = true;

        internal void Checkpoint()
        {
            if (!Awaits && Records.Begun is null)
            {
                _checkpoints.Add(_checkpoints[^1] + 1);
                if (Records.Last is { } last && _checkpoints[^1] > last.Line + 1)
                {
                    Settled.Clear();
                    Settled.AddRange(last.Moves.Where(m => m.To == name).Select(m => m.Node));
                }
            }
        }

        internal void Hear(Node other)
        {
            if (other != this)
            {
                _heard[other.Name] = other._checkpoints[^1];
            }
        }

        internal bool CanDo(RecoveryOrder order) => Records.Begun == order && LostInBegun ? false
            : ClusterRecoveryPlanner.StepOf(_checkpoints[^1], Awaits, order.Line) != RecoveryStep.RollBack || _checkpoints[^1] >= order.Line;

        internal void Begin(RecoveryOrder order)
        {
            _goesOn = ClusterRecoveryPlanner.StepOf(_checkpoints[^1], Awaits, order.Line) == RecoveryStep.Checkpoint;
            Records = Records with { Promised = null, Begun = order };
            foreach (DomainMove move in order.Moves.Where(m => m.To == name))
            {
                _ = Runs.Add(move.Node);
            }
        }

        internal void End(RecoveryOrder order)
        {
            if (_goesOn)
            {
                _checkpoints.Add(Math.Max(order.Line, _checkpoints[^1]));
            }
            else
            {
                _ = _checkpoints.RemoveAll(c => c > order.Line && c != _checkpoints.First(f => f >= order.Line));
            }

            foreach (string peer in _heard.Keys.ToArray())
            {
                _heard[peer] = Math.Min(_heard[peer], order.Line);
            }

            Settled.Clear();
            Awaits = false;
            Records = new RecoveryRecords(order.Incarnation, null, null, order);
        }

        internal MemberState Seen() => IsLost ? new MemberState { Name = name, Problem = "gone" } : new MemberState
        {
            Name = name,
            DurableIndex = _checkpoints[^1],
            AwaitsRecovery = Awaits,
            LostInBegun = LostInBegun,
            Domains = Runs.Count,
            Records = Records,
            Settled = [.. Settled],
            Heard = new Dictionary<string, long>(_heard),
        };

        private bool LostInBegun => Records.Begun is not null && _goesOn && Awaits;
    }
}
