using System.Runtime.InteropServices;

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
        int[] line = graph.Propagate(LastIntervals(graph));
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
            Records = _records,
            Sends = _sends,
            Receives = _receives,
            InFlight = inFlight,
            Lost = _lost,
            Basic = _basic,
            Forced = _forced,
            Other = _other,
            CheckpointsFailed = _checkpointsFailed,
            Failures = _failures,
            Rollbacks = _rollbacks,
            CheckpointsUndone = _undone,
            Useless = _useless,
            UselessShown = _uselessShown,
            GreatestLine = ordinals,
            RollbackDistanceMax = worst,
            RollbackDistanceMean = (double)sum / line.Length,
            SingleFailureNodesMax = SingleFailures(graph),
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

    // Judges and drops what lies before the greatest consistent line so far. An interval that received from one that is
    // undone is kept: its own rollback may still be to come.
    private void Settle()
    {
        MarkUndone();
        RGraph graph = new(_histories);
        int[] line = graph.Propagate(LastIntervals(graph).Concat(OrphanedIntervals(graph)).Concat(FromGivenLine(graph)));
        CountUseless(graph, line);
        JudgeByClocks(line);

        // Ids below which everything is before the line.
        int[] firstKept = new int[line.Length];
        for (int i = 0; i < line.Length; i++)
        {
            firstKept[i] = _histories[i].Intervals[line[i]].Id;
        }

        JudgeDependencies(closed: true, firstKept);
        long kept = 0;
        for (int i = 0; i < line.Length; i++)
        {
            int own = firstKept[i];
            _histories[i].DropDependencies(item => item.ToId < own || (item.From >= 0 && item.FromId < firstKept[item.From]));
        }

        KeepReach(firstKept);
        for (int i = 0; i < line.Length; i++)
        {
            _histories[i].Drop(line[i]);
            kept += ((long)_histories[i].Intervals.Count * IntervalCost) + _histories[i].Dependencies.Count;
        }

        foreach ((long number, Message message) in _messages)
        {
            if (message.ReceivedIn > 0 && message.SentIn < firstKept[message.From] && message.ReceivedIn < firstKept[message.At])
            {
                _ = _messages.Remove(number);
            }
        }

        _settled = true;
        _kept = kept;

        // Where little could be dropped, the next attempt waits: the work stays linear in the trace.
        _window = Math.Max(_window, 2 * kept);
    }

    // How far the sending intervals of messages under way reach is final, and gone with them otherwise.
    private void KeepReach(int[] firstKept)
    {
        if (_header.Line != LineRule.LastBeforeReaching)
        {
            return;
        }

        foreach (long number in _messages.Keys)
        {
            ref Message message = ref CollectionsMarshal.GetValueRefOrNullRef(_messages, number);
            int place = message.SentIn < firstKept[message.From] ? _histories[message.From].Find(message.SentIn) : -1;
            message.Reach = place < 0 ? message.Reach : _histories[message.From].Intervals[place].Reach;
        }
    }

    // Finds what has been undone since, before it is forgotten which intervals ever were.
    private void MarkUndone()
    {
        if (_rollbacks == 0)
        {
            return;
        }

        foreach (History history in _histories)
        {
            foreach (ref Dependency item in CollectionsMarshal.AsSpan(history.Dependencies))
            {
                if (item.From >= 0 && _histories[item.From].Undone(item.FromId))
                {
                    item.From = ~item.From;
                }
            }
        }

        foreach (long number in _messages.Keys)
        {
            ref Message message = ref CollectionsMarshal.GetValueRefOrNullRef(_messages, number);
            message.SendUndone |= _histories[message.From].Undone(message.SentIn);
            if (message.ReceivedIn > 0 && _histories[message.At].Undone(message.ReceivedIn))
            {
                message.ReceivedIn = -1;
            }
        }
    }

    private IEnumerable<int> OrphanedIntervals(RGraph graph)
    {
        for (int i = 0; i < _histories.Length; i++)
        {
            foreach (Dependency item in _histories[i].Dependencies)
            {
                if (item.From < 0)
                {
                    yield return graph.First(i) + _histories[i].Find(item.ToId);
                }
            }
        }
    }

    private IEnumerable<int> FromGivenLine(RGraph graph)
    {
        for (int i = 0; _options.Line is { } line && i < line.Count; i++)
        {
            if (line[i] <= _histories[i].LastOrdinal)
            {
                yield return graph.First(i) + (int)(line[i] - _histories[i].Base);
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

            _useless++;
            if (_uselessShown.Count < _options.FindingsShown)
            {
                int node = graph.NodeOf(v);
                int place = v - graph.First(node) + 1;
                History history = _histories[node];
                _uselessShown.Add(new CheckpointId(node, history.Base + place, history.Intervals[place].Label));
            }
        }
    }

    // Orphans over the lines of an index that rises without checkpoints: only now is it known how far each interval
    // reaches.
    private void JudgeDependencies(bool closed, int[]? firstKept = null)
    {
        if (_rollbacks == 0 && _header.Line != LineRule.LastBeforeReaching)
        {
            return;
        }

        for (int i = 0; i < _histories.Length; i++)
        {
            History history = _histories[i];
            foreach (ref Dependency item in CollectionsMarshal.AsSpan(history.Dependencies))
            {
                if (item.From < 0)
                {
                    if (!closed)
                    {
                        Report(
                            FindingKind.OrphanAfterRecovery,
                            $"node {i}: a delivery from node {~item.From} stands whose sending was undone",
                            whole: true);
                    }

                    continue;
                }

                bool dropsFrom = firstKept is null || item.FromId < firstKept[item.From];
                if (_header.Line != LineRule.LastBeforeReaching || !(dropsFrom || item.ToId < firstKept![i]))
                {
                    continue;
                }

                int from = _histories[item.From].Find(item.FromId);
                long sent = from < 0 ? item.FromReach : _histories[item.From].Intervals[from].Reach;
                if (closed && item.ToId == history.OpenId)
                {
                    item.FromReach = sent;
                    continue;
                }

                long received = history.Intervals[history.Find(item.ToId)].Reach;
                if (sent > received)
                {
                    Orphan(item.From, sent, i, received);
                }
            }
        }
    }

    private void JudgeGivenLine()
    {
        if (_options.Line is not { } line)
        {
            return;
        }

        for (int i = 0; i < line.Count; i++)
        {
            if (line[i] > _histories[i].LastOrdinal)
            {
                throw new InvalidOperationException($"the given line has checkpoint {line[i]} of node {i}, whose last one is {_histories[i].LastOrdinal}");
            }
        }

        for (int i = 0; i < _histories.Length; i++)
        {
            foreach (Dependency item in _histories[i].Dependencies)
            {
                if (item.From < 0)
                {
                    continue;
                }

                bool before = _histories[i].Base + _histories[i].Find(item.ToId) < line[i];
                if (before && Ordinal(item.From, item.FromId) >= line[item.From])
                {
                    Report(FindingKind.Orphan, $"node {i}: a message of node {item.From} is an orphan over the given line", whole: true);
                }
                else if (!before && item.NotLoggedId != int.MaxValue && Ordinal(item.From, item.NotLoggedId) < line[item.From])
                {
                    Report(FindingKind.NotLogged, $"node {i}: a message of node {item.From} crosses the given line and was not logged", whole: true);
                }
            }
        }

        // The checkpoint that opens an interval; -1 for one before all that is kept, which is before the line.
        long Ordinal(int node, int id)
        {
            int place = _histories[node].Find(id);
            return place < 0 ? -1 : _histories[node].Base + place;
        }
    }

    private void JudgeByClocks(int[] line)
    {
        if (_clocks && !ClocksAgree(line))
        {
            Report(FindingKind.ClocksDisagree, "vector clocks contradict the greatest consistent line", whole: true);
        }
    }

    private bool ClocksAgree(int[] line)
    {
        for (int j = 0; j < line.Length; j++)
        {
            int[] clock = _histories[j].Clocks![line[j]];
            for (int i = 0; i < line.Length; i++)
            {
                if (_histories[i].Clocks![line[i]][i] < clock[i])
                {
                    return false;
                }
            }
        }

        return true;
    }

    // Of each node the member is found by the rule, as a recovery would; lines that some node has not reached are not
    // there yet.
    private void JudgeLabelLinesByClocks()
    {
        if (!_clocks || _header.Line == LineRule.Propagation)
        {
            return;
        }

        int[] line = new int[_histories.Length];
        long bottom = _histories.Max(history => history.LowestLine);
        long top = _histories.Min(history => history.OpenReach);
        for (long k = bottom; k <= top;)
        {
            long next = long.MaxValue;
            for (int i = 0; i < line.Length; i++)
            {
                List<Interval> intervals = _histories[i].Intervals;
                while (intervals[line[i]].Reach < k)
                {
                    line[i]++;
                }

                next = Math.Min(next, intervals[line[i]].Reach);
            }

            if (!ClocksAgree(line))
            {
                Report(FindingKind.ClocksDisagree, $"vector clocks say that line {k} is not consistent", whole: true);
            }

            k = Math.Max(next, k) + 1;
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

    private int? SingleFailures(RGraph graph)
    {
        if (!_clocks)
        {
            return null;
        }

        int most = 0;
        foreach (int last in LastIntervals(graph))
        {
            int[] stands = graph.Propagate([last]);
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
        if (_traits is { NoUselessCheckpoints: true } && _useless > 0)
        {
            CheckpointId first = _uselessShown[0];
            Report(
                FindingKind.Useless,
                $"{_useless} useless checkpoints, the first of them checkpoint {first.Ordinal} of node {first.Node}; {_traits.Name} promises none",
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
