using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Nodes with gates and windows over connections that break, with checkpoints that take their time and sometimes
/// fail: the trace of every run is judged by the offline checker, and nothing is lost or comes twice.</summary>
public sealed class GateTests
{
    public static TheoryData<string, int> Runs
    {
        get
        {
            var runs = new TheoryData<string, int>();
            foreach (string protocol in (string[])["bcs", "bcs-aftersend", "lazy-bcs", "manivannan-singhal"])
            {
                for (int seed = 1; seed <= 8; seed++)
                {
                    runs.Add(protocol, seed);
                }
            }

            return runs;
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void A_run_is_consistent_and_nothing_is_lost_or_comes_twice(string protocol, int seed)
    {
        CheckReport report = protocol switch
        {
            "bcs" => new Cluster<Bcs>(4, seed).Run(4000),
            "bcs-aftersend" => new Cluster<BcsAftersend>(4, seed).Run(4000),
            "lazy-bcs" => new Cluster<LazyBcs>(4, seed).Run(4000),
            _ => new Cluster<ManivannanSinghal>(4, seed).Run(4000),
        };
        Assert.True(report.Sound, string.Join('\n', report.Findings.Select(f => f.Text)));
        Assert.True(report.Receives > 300 && report.Forced > 10 && report.CheckpointsFailed > 3, $"{report}");
        Assert.Equal(0, report.Useless);
        Assert.Equal(0, report.InFlight);
    }

    [Fact]
    public void A_batch_that_forces_a_checkpoint_holds_those_behind_it_from_every_peer()
    {
        var arrivals = new Recorder();
        var gate = new ArrivalGate<Bcs>(new ProtocolNode<Bcs, long>(0, 3), arrivals, 1000);
        gate.Arrive(Batch(1, 0));
        Assert.Equal(["deliver 1/0"], arrivals.Taken());
        gate.Arrive(Batch(1, 5));
        Assert.Equal(["begin 5 by 1/5"], arrivals.Taken());
        Assert.Equal(5, gate.PendingLabel);
        gate.Arrive(Batch(2, 0));
        Assert.Empty(arrivals.Taken());

        // What leaves meanwhile was sent before the checkpoint.
        Assert.Equal(0, gate.Stamp(2));

        // A checkpoint that fails delivers nothing.
        gate.CheckpointFailed();
        Assert.Empty(arrivals.Taken());
        gate.Arrive(Batch(2, 0));
        Assert.Empty(arrivals.Taken());
        gate.Retry();
        Assert.Equal(["begin 5 by 1/5"], arrivals.Taken());
        gate.CheckpointDone();
        Assert.Equal(["deliver 1/5", "log 2/0", "log 2/0"], arrivals.Taken());
        Assert.Equal(5, gate.Index);
        Assert.Equal(5, gate.Stamp(1));
        Assert.Equal(0, gate.HeldBytes);
    }

    [Fact]
    public void A_node_that_is_behind_takes_one_checkpoint_for_all_indexes_that_wait()
    {
        var arrivals = new Recorder();
        var gate = new ArrivalGate<Bcs>(new ProtocolNode<Bcs, long>(0, 3), arrivals, 1000);
        gate.Arrive(Batch(1, 1));
        Assert.Equal(["begin 1 by 1/1"], arrivals.Taken());
        gate.Arrive(Batch(1, 2));
        gate.Arrive(Batch(2, 7));
        gate.Arrive(Batch(2, 9) with { Incarnation = 1 });
        gate.CheckpointDone();
        Assert.Equal(["deliver 1/1", "begin 7 by 2/7"], arrivals.Taken());
        gate.CheckpointDone();
        Assert.Equal(["log 1/2", "deliver 2/7"], arrivals.Taken());
        Assert.Equal(7, gate.Index);
    }

    [Fact]
    public void What_waits_is_bounded_by_what_is_read()
    {
        var gate = new ArrivalGate<Bcs>(new ProtocolNode<Bcs, long>(0, 2), new Recorder(), 150);
        gate.Arrive(Batch(1, 1));
        Assert.False(gate.IsFull);
        gate.Arrive(Batch(1, 1));
        Assert.True(gate.IsFull);
        gate.CheckpointDone();
        Assert.False(gate.IsFull);
    }

    [Fact]
    public void A_batch_of_a_past_that_was_rolled_back_is_dropped_and_one_of_the_future_waits()
    {
        var arrivals = new Recorder();
        var node = new ProtocolNode<Bcs, long>(0, 2);
        Assert.False(node.OnSurvive(0, 1));
        var gate = new ArrivalGate<Bcs>(node, arrivals, 1000);
        gate.Arrive(Batch(1, 9));
        Assert.Equal(["reject 1/9"], arrivals.Taken());
        gate.Arrive(Batch(1, 0) with { Incarnation = 2 });
        Assert.Empty(arrivals.Taken());
        Assert.Equal(100, gate.HeldBytes);
    }

    private static ArrivedBatch Batch(int from, long index) => new(from, 0, index, 1, new byte[100]);

    private sealed class Recorder : IArrivals
    {
        private readonly List<string> _lines = [];

        public void Deliver(in ArrivedBatch batch, bool logged) =>
            _lines.Add($"{(logged ? "log" : "deliver")} {batch.From}/{batch.Index}");

        public void Reject(in ArrivedBatch batch) => _lines.Add($"reject {batch.From}/{batch.Index}");

        public void BeginCheckpoint(long label, ArrivedBatch? forcedBy) =>
            _lines.Add($"begin {label} by {forcedBy?.From}/{forcedBy?.Index}");

        internal string[] Taken()
        {
            string[] lines = [.. _lines];
            _lines.Clear();
            return lines;
        }
    }
}
