using System.Buffers.Binary;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Nodes with gates, and a channel each way between every two of them, stepped by a random number at a time.
/// Each batch has one frame, which is the number of the message.</summary>
internal sealed class Cluster<TProtocol>
    where TProtocol : struct, IProtocol<TProtocol, long>
{
    private readonly Random _random;
    private readonly Node[] _nodes;
    private readonly TraceChecker _checker;
    private long _messages;

    internal Cluster(int nodes, int seed)
    {
        _random = new Random(seed);
        _checker = new TraceChecker(TraceHeader.For(TProtocol.Traits, nodes, channelLogs: true));
        _nodes = [.. Enumerable.Range(0, nodes).Select(i => new Node(this, i, nodes))];
    }

    internal CheckReport Run(int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            Step();
        }

        // Until nothing moves: all that was sent has to arrive.
        for (int quiet = 0; quiet < 100; quiet++)
        {
            foreach (Node node in _nodes)
            {
                node.EndCheckpoint(fails: false);
                node.Gate.Retry();
                for (int from = 0; from < _nodes.Length; from++)
                {
                    Reconnect(from, node.Id);
                    while (Transfer(from, node.Id))
                    {
                        node.EndCheckpoint(fails: false);
                    }
                }
            }
        }

        foreach (Node node in _nodes)
        {
            Assert.Equal(0, node.Gate.HeldBytes);
            Assert.All(_nodes, n => Assert.Equal(node.Out[n.Id].Last, n.In[node.Id].Settled));
        }

        return _checker.Complete();
    }

    private void Step()
    {
        Node node = _nodes[_random.Next(_nodes.Length)];
        int peer = _random.Next(_nodes.Length);
        switch (_random.Next(20))
        {
            case 0:
                node.Gate.Tick();
                break;
            case < 7 when peer != node.Id:
                node.Send(peer, _messages++);
                break;
            case < 15 when peer != node.Id:
                _ = Transfer(peer, node.Id);
                break;
            case 15:
                node.Out[peer].Acknowledge(_nodes[peer].In[node.Id].Settled);
                break;
            case 16 when _random.Next(4) == 0:
                Reconnect(peer, node.Id);
                break;
            case 17:
                node.Gate.Retry();
                break;
            case > 17:
                node.EndCheckpoint(fails: _random.Next(4) == 0);
                break;
        }
    }

    private void Reconnect(int from, int to)
    {
        Queue<SentBatch> wire = _nodes[from].Wires[to];
        wire.Clear();
        foreach (SentBatch batch in _nodes[from].Out[to].Resume(_nodes[to].In[from].Expected))
        {
            wire.Enqueue(batch);
        }
    }

    private bool Transfer(int from, int to)
    {
        if (!_nodes[from].Wires[to].TryDequeue(out SentBatch batch))
        {
            return false;
        }

        if (_nodes[to].In[from].Accept(batch.Sequence))
        {
            _nodes[to].Gate.Arrive(new ArrivedBatch(from, 0, batch.Index, batch.Sequence, batch.Frames));
        }

        return true;
    }

    private sealed class Node : IArrivals
    {
        private readonly Cluster<TProtocol> _cluster;
        private bool _forced;

        internal Node(Cluster<TProtocol> cluster, int id, int nodes)
        {
            _cluster = cluster;
            Id = id;
            Gate = new ArrivalGate<TProtocol>(new ProtocolNode<TProtocol, long>(id, nodes), this, 1 << 20);
            Out = [.. Enumerable.Range(0, nodes).Select(_ => new SendWindow(1 << 20))];
            In = [.. Enumerable.Range(0, nodes).Select(_ => new ReceiveWindow())];
            Wires = [.. Enumerable.Range(0, nodes).Select(_ => new Queue<SentBatch>())];
        }

        internal int Id { get; }

        internal ArrivalGate<TProtocol> Gate { get; }

        internal SendWindow[] Out { get; }

        internal ReceiveWindow[] In { get; }

        internal Queue<SentBatch>[] Wires { get; }

        public void Deliver(in ArrivedBatch batch, bool logged)
        {
            // No checkpoint is under way, and the one that the message needs has been taken.
            Assert.Equal(0, Gate.PendingLabel);
            Assert.True(batch.Index <= Gate.Index);
            long message = BinaryPrimitives.ReadInt64LittleEndian(batch.Frames.Span);
            _cluster._checker.Add(TraceEvent.Receive(Id, message, Gate.Index, logged));
            In[batch.From].Settle(batch.Sequence);
        }

        public void Reject(in ArrivedBatch batch) => Assert.Fail("nobody was rolled back");

        public void BeginCheckpoint(long label, ArrivedBatch? forcedBy)
        {
            Assert.Equal(label, Gate.PendingLabel);
            _forced = forcedBy is not null;
        }

        internal void Send(int to, long message)
        {
            byte[] frame = new byte[FrameBatch.MinFrame];
            BinaryPrimitives.WriteInt64LittleEndian(frame, message);
            long index = Gate.Stamp(to);
            _cluster._checker.Add(TraceEvent.Send(Id, to, message, index));
            Wires[to].Enqueue(Out[to].Add(index, frame));
        }

        internal void EndCheckpoint(bool fails)
        {
            if (Gate.PendingLabel is not (> 0 and long label))
            {
                return;
            }

            if (fails)
            {
                _cluster._checker.Add(TraceEvent.CheckpointFailed(Id));
                Gate.CheckpointFailed();
                return;
            }

            _cluster._checker.Add(TraceEvent.Checkpoint(
                _forced ? TraceEventKind.Forced : TraceEventKind.Basic, Id, label));
            Gate.CheckpointDone();
        }
    }
}
