using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Cluster.Timelines;

/// <summary>Makes a timeline out of a trace (docs/trace-format.md).</summary>
public static class TimelineReader
{
    /// <summary>The most marks of a picture that anybody can look at, and that a browser still draws.</summary>
    public const int MaxMarks = 50_000;

    /// <summary>Reads a trace twice: first for the messages that forced checkpoints.</summary>
    /// <param name="open">Opens the trace of the whole run, each time from its beginning.</param>
    /// <exception cref="TraceException">The trace is cut or damaged, says what cannot be, or has more than
    /// <see cref="MaxMarks"/> marks.</exception>
    public static Timeline Read(Func<TraceReader> open)
    {
        ArgumentNullException.ThrowIfNull(open);
        HashSet<long> forcing = FindForcing(open());
        TraceReader reader = open();
        var builder = new Builder(reader.Header);
        while (reader.TryRead(out TraceEvent item))
        {
            if (!builder.Add(item, forcing))
            {
                throw new TraceException(
                    $"{reader.Position}: the trace has more than {MaxMarks} checkpoints, failures and rollbacks; that is no picture any more");
            }
        }

        return builder.Build();
    }

    // A message that forces a checkpoint is the first one delivered after it: those that came before wait behind it.
    private static HashSet<long> FindForcing(TraceReader reader)
    {
        HashSet<long> forcing = [];
        bool[] forced = new bool[reader.Header.Nodes];
        while (reader.TryRead(out TraceEvent item))
        {
            if (item.Kind == TraceEventKind.Forced)
            {
                forced[item.Node] = true;
            }
            else if (forced[item.Node] && item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged)
            {
                _ = forcing.Add(item.Message);
                forced[item.Node] = false;
            }
            else if (item.Kind is TraceEventKind.Failure or TraceEventKind.Rollback)
            {
                forced[item.Node] = false;
            }
        }

        return forcing;
    }

    private sealed class Builder
    {
        private readonly TraceHeader _header;
        private readonly List<Mark>[] _lines;
        private readonly List<Mark>[] _history;
        private readonly Mark?[] _forced;
        private readonly Dictionary<long, Mark> _sends = [];
        private int _count;

        internal Builder(TraceHeader header)
        {
            _header = header;
            _lines = new List<Mark>[header.Nodes];
            _history = new List<Mark>[header.Nodes];
            _forced = new Mark?[header.Nodes];
            for (int node = 0; node < header.Nodes; node++)
            {
                _lines[node] = [];
                _history[node] = [];
                Put(new Mark { Kind = MarkKind.Initial, Node = node });
            }
        }

        internal bool Add(in TraceEvent item, HashSet<long> forcing)
        {
            int node = item.Node;
            switch (item.Kind)
            {
                case TraceEventKind.Basic:
                    Put(new Mark { Kind = MarkKind.Basic, Node = node, Index = item.Index });
                    break;
                case TraceEventKind.Other:
                    Put(new Mark { Kind = MarkKind.Other, Node = node, Index = item.Index });
                    break;
                case TraceEventKind.Forced:
                    _forced[node] = new Mark { Kind = MarkKind.Forced, Node = node, Index = item.Index };
                    Put(_forced[node]!);
                    break;
                case TraceEventKind.CheckpointFailed:
                    Put(new Mark { Kind = MarkKind.Failed, Node = node });
                    break;
                case TraceEventKind.Send when forcing.Contains(item.Message):
                    var send = new Mark { Kind = MarkKind.Send, Node = node, Index = item.Index };
                    _sends[item.Message] = send;
                    Put(send);
                    break;
                case TraceEventKind.Receive or TraceEventKind.ReceiveLogged when _forced[node] is { } checkpoint:
                    checkpoint.Cause = _sends.GetValueOrDefault(item.Message);
                    _forced[node] = null;
                    break;
                case TraceEventKind.Failure:
                    _forced[node] = null;
                    Put(new Mark { Kind = MarkKind.Failure, Node = node });
                    break;
                case TraceEventKind.Rollback:
                    _forced[node] = null;
                    RollBack(item);
                    break;
            }

            return _count <= MaxMarks + _header.Nodes;
        }

        internal Timeline Build()
        {
            Place();
            (long? line, Mark?[] members) = FindLine();
            return new Timeline(_header.Nodes, _header.Protocol, [.. _lines.SelectMany(marks => marks)], line, members);
        }

        private void Put(Mark mark)
        {
            _lines[mark.Node].Add(mark);
            _count++;
            if (mark.IsCheckpoint)
            {
                _history[mark.Node].Add(mark);
            }
        }

        private void RollBack(in TraceEvent item)
        {
            List<Mark> history = _history[item.Node];
            if (item.Ordinal >= history.Count)
            {
                throw new TraceException(
                    $"node {item.Node} goes back to checkpoint {item.Ordinal} and has {history.Count - 1}");
            }

            Mark target = history[(int)item.Ordinal];
            history.RemoveRange((int)item.Ordinal + 1, history.Count - (int)item.Ordinal - 1);
            List<Mark> line = _lines[item.Node];
            for (int i = line.Count - 1; line[i] != target; i--)
            {
                line[i].Undone |= line[i].Kind is not (MarkKind.Failure or MarkKind.Rollback);
            }

            Put(new Mark { Kind = MarkKind.Rollback, Node = item.Node, Index = item.Index, Cause = target });
        }

        // Each mark one column right of what it depends on: the mark before it on its line, and for a forced checkpoint
        // the sending. The checkpoint's record may stand before that of the sending, so the lines are walked in turn, each as
        // far as what it needs has its place.
        private void Place()
        {
            int[] next = new int[_lines.Length];
            HashSet<Mark> placed = [];
            bool moved = true;
            while (moved)
            {
                moved = false;
                for (int node = 0; node < _lines.Length; node++)
                {
                    while (next[node] < _lines[node].Count && MayStand(_lines[node][next[node]]))
                    {
                        Mark mark = _lines[node][next[node]];
                        int before = next[node] == 0 ? -1 : _lines[node][next[node] - 1].Column;
                        int cause = mark.Kind == MarkKind.Forced ? mark.Cause?.Column ?? -1 : -1;
                        mark.Column = Math.Max(before, cause) + 1;
                        _ = placed.Add(mark);
                        next[node]++;
                        moved = true;
                    }
                }
            }

            if (placed.Count < _count)
            {
                throw new TraceException("a message is delivered before it can have been sent; 'xtlsim check' tells more");
            }

            bool MayStand(Mark mark) =>
                mark.Kind != MarkKind.Forced || mark.Cause is null || placed.Contains(mark.Cause);
        }

        private (long? Line, Mark?[] Members) FindLine()
        {
            var members = new Mark?[_lines.Length];
            if (_header.Line != LineRule.FirstAtLeast)
            {
                return (null, members);
            }

            long line = _history.Min(history => history[^1].Index);
            for (int node = 0; node < members.Length; node++)
            {
                StoredCheckpoint[] checkpoints = [.. _history[node].Select(mark => new StoredCheckpoint(mark.Index))];
                members[node] = _history[node][RecoveryLine.Member(checkpoints, line)];
            }

            return (line, members);
        }
    }
}
