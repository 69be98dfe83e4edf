using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <content>What is dropped once it is judged for good.</content>
public sealed partial class TraceChecker
{
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
            int node = i;
            _histories[i].DropDependencies(item => item.ToId < firstKept[node]
                || (item.From >= 0 && item.FromId < firstKept[item.From] && !AwaitsReceiver && !MayCrossGivenLine(node, item)));
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

    // Orphans are judged where their deliveries stand for good.
    private bool AwaitsReceiver => _header is { Rollbacks: true, Line: LineRule.LastBeforeReaching };

    // What is sent before a line that is judged for good is sent before the given one, too.
    private bool MayCrossGivenLine(int node, in Dependency item) =>
        _options.Line is { } line && item.NotLoggedId != int.MaxValue
        && _histories[node].Base + _histories[node].Find(item.ToId) >= line[node];

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
            message.IntervalReach = place < 0 ? message.IntervalReach : _histories[message.From].Intervals[place].Reach;
        }
    }

    // Finds what has been undone since, before it is forgotten which intervals ever were.
    private void MarkUndone()
    {
        if (_tally.Rollbacks == 0)
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
}
