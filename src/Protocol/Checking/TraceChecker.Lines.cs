using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <content>What is judged over lines.</content>
public sealed partial class TraceChecker
{
    private void CloseInterval(int node, History history)
    {
        if (!_header.ChannelLogs || _header.Line == LineRule.Propagation)
        {
            return;
        }

        // Of each sender the least: where it rolled back, a later interval may have it.
        long reach = history.OpenReach;
        ReadOnlySpan<Dependency> open = history.OpenDependencies();
        for (int i = 0; i < open.Length;)
        {
            int from = open[i].From;
            long least = long.MaxValue;
            for (; i < open.Length && open[i].From == from; i++)
            {
                least = Math.Min(least, open[i].NotLoggedReach);
            }

            if (least < reach)
            {
                Report(
                    FindingKind.NotLogged,
                    $"node {node}: a message of node {(from < 0 ? ~from : from)} crosses the lines {least + 1} to {reach} and was not logged");
            }
        }
    }

    private void Orphan(int from, long sentReach, int to, long receivedReach) => Report(
        FindingKind.Orphan,
        $"node {to}: a message of node {from} is an orphan over the lines {receivedReach + 1} to {sentReach}");

    // Orphans over the lines of an index that rises without checkpoints: only now is it known how far each interval
    // reaches.
    private void JudgeDependencies(bool closed, int[]? firstKept = null)
    {
        if (_tally.Rollbacks == 0 && _header.Line != LineRule.LastBeforeReaching)
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
                bool dropsTo = firstKept is null || item.ToId < firstKept[i];
                if (_header.Line != LineRule.LastBeforeReaching || !(dropsFrom || dropsTo))
                {
                    continue;
                }

                int from = _histories[item.From].Find(item.FromId);
                long sent = from < 0 ? item.FromReach : _histories[item.From].Intervals[from].Reach;
                if (!dropsTo && (_header.Rollbacks || item.ToId == history.OpenId))
                {
                    item.FromReach = sent;
                    continue;
                }

                long received = history.Intervals[history.Find(item.ToId)].Reach;
                if (sent > received)
                {
                    Orphan(item.From, sent, i, received);
                }

                // Told once, where it is kept for the given line.
                item.FromReach = -1;
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
}
