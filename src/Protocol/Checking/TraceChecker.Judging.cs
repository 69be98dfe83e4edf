namespace XenTwoLevelCkpt.Protocol.Checking;

/// <content>What is judged over many intervals at once.</content>
public sealed partial class TraceChecker
{
    /// <summary>Ends the run and judges what is left.</summary>
    /// <exception cref="InvalidOperationException">It was called before, or the given line has a checkpoint that its node
    /// never took.</exception>
    public CheckReport Complete()
    {
        if (_completed)
        {
            throw new InvalidOperationException("The run is judged already; make a new checker for another one.");
        }

        _completed = true;
        for (int i = 0; i < _histories.Length; i++)
        {
            CloseInterval(i, _histories[i]);
        }

        MarkUndone();
        RGraph graph = new(_histories);
        int[] orphaned = [.. OrphanedIntervals(graph)];
        int[] line = graph.Propagate(LastIntervals(graph).Concat(orphaned));
        int[] all = Array.ConvertAll(_histories, history => history.Intervals.Count);
        CountUseless(graph, all);
        JudgeDependencies(closed: false);
        JudgeGivenLine();
        JudgeByClocks(line);
        JudgeLabelLinesByClocks();
        long? untrackable = CountUntrackable(graph);
        long inFlight = JudgeMessages();
        JudgePromises(untrackable);

        long[] ordinals = new long[line.Length];
        long worst = 0, sum = 0;
        int domino = 0;
        for (int i = 0; i < line.Length; i++)
        {
            ordinals[i] = _histories[i].Base + line[i];
            long distance = _histories[i].LastOrdinal - ordinals[i];
            worst = Math.Max(worst, distance);
            sum += distance;
            domino += ordinals[i] == 0 && distance > 0 ? 1 : 0;
        }

        return new CheckReport
        {
            Header = _header,
            Records = _tally.Records,
            Sends = _tally.Sends,
            Receives = _tally.Receives,
            InFlight = inFlight,
            Lost = _tally.Lost,
            Basic = _tally.Basic,
            Forced = _tally.Forced,
            Other = _tally.Other,
            CheckpointsFailed = _tally.CheckpointsFailed,
            Failures = _tally.Failures,
            Rollbacks = _tally.Rollbacks,
            CheckpointsUndone = _tally.Undone,
            Useless = _tally.Useless,
            UselessShown = _uselessShown,
            GreatestLine = ordinals,
            RollbackDistanceMax = worst,
            RollbackDistanceMean = (double)sum / line.Length,
            SingleFailureNodesMax = SingleFailures(graph, orphaned),
            DominoNodes = domino,
            VectorClocks = _clocks,
            Untrackable = untrackable,
            Counts = _counts,
            Findings = _findings,
        };
    }

    private static IEnumerable<int> LastIntervals(RGraph graph)
    {
        for (int v = 0; v < graph.Vertices; v++)
        {
            if (v + 1 == graph.Vertices || graph.NodeOf(v + 1) != graph.NodeOf(v))
            {
                yield return v;
            }
        }
    }

    private void CountUseless(RGraph graph, int[] stands)
    {
        bool[] marks = graph.OnCycleWithNext(stands);
        for (int v = 0; v < marks.Length; v++)
        {
            if (!marks[v])
            {
                continue;
            }

            _tally.Useless++;
            if (_uselessShown.Count < _options.FindingsShown)
            {
                int node = graph.NodeOf(v);
                int place = v - graph.First(node) + 1;
                History history = _histories[node];
                _uselessShown.Add(new CheckpointId(node, history.Base + place, history.Intervals[place].Label));
            }
        }
    }

    private long? CountUntrackable(RGraph graph)
    {
        if (!_clocks || _settled || graph.Vertices > _options.TrackabilityIntervals)
        {
            return null;
        }

        long untrackable = 0;
        for (int source = 0; source < graph.Vertices; source++)
        {
            int node = graph.NodeOf(source);
            int id = _histories[node].Intervals[source - graph.First(node)].Id;
            int[] reached = graph.Propagate([source]);
            for (int j = 0; j < reached.Length; j++)
            {
                // The checkpoint that closes an interval opens the next.
                for (int place = reached[j] + 1; place < _histories[j].Intervals.Count; place++)
                {
                    untrackable += _histories[j].Clocks![place][node] < id ? 1 : 0;
                }
            }
        }

        return untrackable;
    }

    private int? SingleFailures(RGraph graph, int[] orphaned)
    {
        if (!_clocks)
        {
            return null;
        }

        int most = 0;
        foreach (int last in LastIntervals(graph))
        {
            int[] stands = graph.Propagate([last, .. orphaned]);
            int nodes = 0;
            for (int i = 0; i < stands.Length; i++)
            {
                nodes += stands[i] < _histories[i].Intervals.Count ? 1 : 0;
            }

            most = Math.Max(most, nodes);
        }

        return most;
    }

    // After MarkUndone.
    private long JudgeMessages()
    {
        long inFlight = 0;
        foreach ((long number, Message message) in _messages)
        {
            if (message.SendUndone)
            {
                continue;
            }

            inFlight += message.ReceivedIn == 0 ? 1 : 0;
            if (message.ReceivedIn < 0)
            {
                Report(
                    FindingKind.NotReplayed,
                    $"node {message.To}: message {number} of node {message.From} was delivered in a past that was undone, and not again",
                    whole: true);
            }
        }

        return inFlight;
    }

    private void JudgePromises(long? untrackable)
    {
        if (_traits is { NoUselessCheckpoints: true } && _tally.Useless > 0)
        {
            CheckpointId first = _uselessShown[0];
            Report(
                FindingKind.Useless,
                $"{_tally.Useless} useless checkpoints, the first of them checkpoint {first.Ordinal} of node {first.Node}; {_traits.Name} promises none",
                whole: true);
        }

        if (_traits is { RollbackDependencyTrackable: true } && untrackable > 0)
        {
            Report(
                FindingKind.NotTrackable,
                $"{untrackable} dependencies between checkpoints are not trackable; {_traits.Name} promises that all are",
                whole: true);
        }
    }
}
