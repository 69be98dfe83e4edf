using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Protocol.Tests.Checking;

/// <summary>Small traces by seed: runs of the protocols, runs of the protocols with something wrong in them, and runs in which each
/// node does what it likes.</summary>
internal static class RandomTrace
{
    private static readonly string[] Names = ["", "bcs", "hmnr", "fdas", "uncoordinated"];

    /// <summary>A trace that can have happened.</summary>
    internal static (TraceHeader Header, List<TraceEvent> Events) Make(int seed)
    {
        Random random = new(seed);
        (TraceHeader header, List<TraceEvent> events) = random.Next(3) == 0 ? OfProtocol(random) : new Free(random).Run();
        return (header, Possible(header, events));
    }

    /// <summary>Of some records those that can have happened after the ones before them.</summary>
    internal static List<TraceEvent> Possible(TraceHeader header, IEnumerable<TraceEvent> events)
    {
        List<TraceEvent> possible = [];
        Dictionary<long, int> sent = [];
        HashSet<long> gone = [];
        long[] last = new long[header.Nodes];
        foreach (TraceEvent item in events)
        {
            bool happens = item.Kind switch
            {
                TraceEventKind.Send => sent.TryAdd(item.Message, item.Peer),
                TraceEventKind.Receive or TraceEventKind.ReceiveLogged =>
                    sent.TryGetValue(item.Message, out int to) && to == item.Node && !gone.Contains(item.Message),
                TraceEventKind.Lost => sent.ContainsKey(item.Message) && !gone.Contains(item.Message),
                TraceEventKind.Rollback => header.Rollbacks && item.Ordinal <= last[item.Node],
                _ => true,
            };
            if (!happens)
            {
                continue;
            }

            possible.Add(item);
            last[item.Node] = item.Kind == TraceEventKind.Rollback ? item.Ordinal : last[item.Node] + (item.IsCheckpoint ? 1 : 0);
            if (item.Kind == TraceEventKind.Lost || (!header.Rollbacks && item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged))
            {
                _ = gone.Add(item.Message);
            }
        }

        return possible;
    }

    private static (TraceHeader Header, List<TraceEvent> Events) OfProtocol(Random random)
    {
        string name = ProtocolFamily.All[random.Next(ProtocolFamily.All.Count)].Name;
        int nodes = random.Next(2, 5);
        int[] steps = [.. Enumerable.Range(0, random.Next(8, 40)).Select(_ => random.Next(1 << 20))];
        Outcome run = RunUse.Run(name, new Schedule(nodes, steps), failures: random.Next(2) == 0);
        TraceHeader header = run.Header with { ChannelLogs = random.Next(4) > 0 };
        List<TraceEvent> events = run.Events;

        // One record is not there, or says something else.
        if (events.Count > 0 && random.Next(2) == 0)
        {
            int at = random.Next(events.Count);
            TraceEvent item = events[at];
            switch (random.Next(4))
            {
                case 0:
                    events.RemoveAt(at);
                    break;
                case 1:
                    events[at] = item with { Index = Math.Max(0, item.Index + random.Next(-1, 2)) };
                    break;
                case 2:
                    events.Insert(random.Next(events.Count + 1), item);
                    break;
                default:
                    events[at] = item with { Kind = item.Kind == TraceEventKind.ReceiveLogged ? TraceEventKind.Receive : item.Kind };
                    break;
            }
        }

        return (header, events);
    }

    /// <summary>Nodes that obey a rule like that of BCS most of the time, or seldom.</summary>
    private sealed class Free
    {
        private readonly Random _random;
        private readonly double _wild;
        private readonly TraceHeader _header;
        private readonly long[] _index;
        private readonly int[] _checkpoints;
        private readonly List<TraceEvent> _events = [];
        private readonly List<TraceEvent> _underWay = [];
        private readonly List<TraceEvent> _sent = [];

        internal Free(Random random)
        {
            _random = random;
            _wild = new[] { 0, 0.1, 0.5 }[random.Next(3)];
            _header = new TraceHeader
            {
                Nodes = random.Next(2, 5),
                Protocol = Names[random.Next(Names.Length)],
                Line = (LineRule)random.Next(3),
                Rollbacks = random.Next(2) == 0,
                ChannelLogs = random.Next(2) == 0,
            };
            _index = new long[_header.Nodes];
            _checkpoints = new int[_header.Nodes];
        }

        internal (TraceHeader Header, List<TraceEvent> Events) Run()
        {
            for (int left = _random.Next(6, 28); left > 0; left--)
            {
                Step(_random.Next(_header.Nodes));
            }

            return (_header, _events);
        }

        private void Step(int node)
        {
            switch (_random.Next(20))
            {
                case <= 3:
                    Checkpoint(node, Wild() ? _random.Next(6) : _index[node] + _random.Next(3));
                    break;
                case <= 9:
                    Send(node);
                    break;
                case <= 15:
                    Deliver();
                    break;
                case 16 when Wild():
                    RaiseTo(node, _random.Next(6));
                    _events.Add(TraceEvent.IndexRaised(node, _index[node]));
                    break;
                case 17 or 18 when _random.Next(2) == 0:
                    GoBack(node);
                    break;
                case 19 when Wild() && _sent.Count > 0:
                    _events.Add(TraceEvent.Lost(node, _sent[_random.Next(_sent.Count)].Message));
                    break;
                default:
                    break;
            }
        }

        private bool Wild() => _random.NextDouble() < _wild;

        private void Checkpoint(int node, long label)
        {
            _index[node] = Math.Max(_index[node], label);
            _checkpoints[node]++;
            _events.Add(TraceEvent.Checkpoint((TraceEventKind)_random.Next(1, 4), node, label));
        }

        private void RaiseTo(int node, long index)
        {
            if (_header.Line == LineRule.LastBeforeReaching)
            {
                _index[node] = Math.Max(_index[node], index);
            }
        }

        private void Send(int node)
        {
            if (Wild())
            {
                RaiseTo(node, _random.Next(6));
            }

            int to = (node + 1 + _random.Next(_header.Nodes - 1)) % _header.Nodes;
            TraceEvent send = TraceEvent.Send(node, to, _sent.Count, _index[node]);
            _sent.Add(send);
            _underWay.Add(send);
            _events.Add(send);
        }

        private void Deliver()
        {
            if (_underWay.Count == 0)
            {
                return;
            }

            int which = _random.Next(_underWay.Count);
            bool again = _header.Rollbacks && _random.Next(6) == 0;
            TraceEvent send = again ? _sent[_random.Next(_sent.Count)] : _underWay[which];
            if (!again)
            {
                _underWay.RemoveAt(which);
            }

            if (send.Index > _index[send.Peer] && !Wild())
            {
                if (_header.Line != LineRule.LastBeforeReaching || _random.Next(2) == 0)
                {
                    Checkpoint(send.Peer, send.Index);
                }
                else
                {
                    RaiseTo(send.Peer, send.Index);
                }
            }

            bool logged = Wild() ? _random.Next(2) == 0 : send.Index < _index[send.Peer];
            _events.Add(TraceEvent.Receive(send.Peer, send.Message, _index[send.Peer], logged));
        }

        private void GoBack(int node)
        {
            if (_random.Next(2) == 0)
            {
                _events.Add(TraceEvent.Failure(node));
            }

            if (_header.Rollbacks && !Wild())
            {
                int to = _random.Next(_checkpoints[node] + 1);
                _checkpoints[node] = to;
                _index[node] = Math.Max(0, _index[node] - _random.Next(3));
                _events.Add(TraceEvent.Rollback(node, to, _index[node]));
            }
        }
    }
}
