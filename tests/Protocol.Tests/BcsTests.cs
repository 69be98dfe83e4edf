using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Family;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>BCS by the letter, and what must hold of every run of it.</summary>
public class BcsTests
{
    [Fact]
    public void The_counts_of_a_run_hold_together() => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run("bcs", schedule);
        int total = run.Checkpoints.Sum(checkpoints => checkpoints.Count - 1);
        Assert.Equal(total, run.Basic + run.Forced);
        for (int i = 0; i < run.Indices.Length; i++)
        {
            // Every checkpoint raises the index.
            Assert.True(run.Checkpoints[i].Count - 1 <= run.Indices[i]);
        }

        Assert.True(run.Indices.Max() <= run.Basic);

        // One whose message then waits for another reason was forced without a delivery.
        Assert.True(run.Forced <= run.Messages.Count);
    }).Check(Properties.Quiet.WithMaxTest(300));

    [Fact]
    public void A_message_crosses_just_the_lines_above_its_index_up_to_its_receivers() => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run("bcs", schedule);
        for (long k = 0; k <= run.Indices.Max() + 1; k++)
        {
            long[] line = RecoveryLine.Find(LineRule.FirstAtLeast, k, run.Checkpoints, []);
            Assert.Equal(
                run.Messages.Where(message => message.Delivered && message.Index < k && k <= message.ReceiverIndex)
                    .Select(message => new IntervalDependency(message.From, message.SentAfter, message.To, message.DeliveredAfter)),
                CrossingMessages.Over(line, run.Dependencies));
        }
    }).Check(Properties.Quiet.WithMaxTest(200));

    [Fact]
    public void Synchronous_ticks_that_no_message_crosses_force_nothing() => Prop.ForAll(
        Gen.Choose(0, 5).ArrayOf(20).ToArbitrary(), rounds =>
        {
            const int Nodes = 3;
            Bcs[] nodes = new Bcs[Nodes];
            foreach (int round in rounds)
            {
                for (int i = 0; i < Nodes; i++)
                {
                    Assert.True(nodes[i].OnTick());
                    _ = nodes[i].OnCheckpointDone();
                }

                for (int message = 0; message < round; message++)
                {
                    _ = nodes[message % Nodes].OnSend((message + 1) % Nodes, out long piggyback);
                    Assert.Equal(ReceiveDecision.Deliver, nodes[(message + 1) % Nodes].OnReceive(message % Nodes, piggyback));
                }
            }
        }).Check(Properties.Quiet);

    [Fact]
    public void The_label_is_there_before_the_save_and_the_index_after_it()
    {
        Bcs node = default;
        Assert.Equal(ReceiveDecision.CheckpointFirst, node.OnReceive(1, 5));
        Assert.Equal((5, 0), (node.PendingLabel, node.Index));
        Assert.Equal(5, node.Save().Index);

        // What leaves now was sent before the checkpoint.
        _ = node.OnSend(1, out long piggyback);
        Assert.Equal(0, piggyback);
        Assert.Equal(ReceiveDecision.Wait, node.OnReceive(2, 0));
        Assert.False(node.OnTick());
        Assert.False(node.OnRaise(9));
        Assert.False(node.OnCheckpointDone());
        Assert.Equal((0, 5), (node.PendingLabel, node.Index));
        Assert.Equal(ReceiveDecision.Deliver, node.OnReceive(1, 5));
    }

    [Fact]
    public void A_forced_checkpoint_that_fails_leaves_the_message_waiting_and_nothing_else()
    {
        Bcs node = default;
        Assert.Equal(ReceiveDecision.CheckpointFirst, node.OnReceive(1, 5));
        node.OnCheckpointFailed();
        Assert.Equal(default, node);
        Assert.Equal(ReceiveDecision.CheckpointFirst, node.OnReceive(1, 5));
        Assert.Equal(5, node.PendingLabel);
    }

    [Fact]
    public void A_checkpoint_that_never_began_cannot_end()
    {
        Bcs node = default;
        Assert.Throws<InvalidOperationException>(() => node.OnCheckpointDone());
        Assert.Throws<InvalidOperationException>(node.OnCheckpointFailed);
    }

    [Fact]
    public void Messages_of_another_incarnation_are_rejected_or_wait()
    {
        ProtocolNode<Bcs, long> node = new(0, 2);
        node.OnRollback(default, 0, 2);
        Assert.Equal(ReceiveDecision.Reject, node.OnReceive(1, 1, 9));
        Assert.Equal(ReceiveDecision.Wait, node.OnReceive(1, 3, 9));
        Assert.Equal(0, node.Protocol.PendingLabel);
        Assert.Equal(ReceiveDecision.CheckpointFirst, node.OnReceive(1, 2, 9));
        Assert.Throws<InvalidOperationException>(() => node.OnSurvive(4, 3));
        Assert.Equal(2, node.Incarnation);
    }

    [Fact]
    public void Scalar_protocols_allocate_nothing()
    {
        Assert.Equal(0, Allocated<Bcs, long>());
        Assert.Equal(0, Allocated<BcsAftersend, long>());
        Assert.Equal(0, Allocated<LazyBcs, long>());
        Assert.Equal(0, Allocated<ManivannanSinghal, long>());
        Assert.Equal(0, Allocated<Nras, NoPiggyback>());
        Assert.Equal(0, Allocated<Cas, NoPiggyback>());
        Assert.Equal(0, Allocated<Cbr, NoPiggyback>());
        Assert.Equal(0, Allocated<Uncoordinated, NoPiggyback>());
        Assert.Equal(0, Allocated<ChandyLamport, long>());
    }

    [Fact]
    public void A_safe_line_covers_output_and_garbage()
    {
        long safe = Garbage.SafeLine([4, 7, 5]);
        Assert.Equal(4, safe);
        Assert.True(OutputCommit.MayLeave(3, safe));
        Assert.False(OutputCommit.MayLeave(4, safe));
        StoredCheckpoint[] checkpoints = [new(0), new(2), new(5), new(6)];
        Assert.Equal(2, Garbage.Checkpoints(checkpoints, safe));
        Assert.True(Garbage.IsGarbage(new LogEntry(1, 1), 2));
        Assert.False(Garbage.IsGarbage(new LogEntry(1, 2), 2));
        Assert.Throws<ArgumentException>(() => Garbage.SafeLine([]));
    }

    [Fact]
    public void No_recovery_needs_garbage_or_undoes_released_output() => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run("bcs", schedule);
        long safe = Garbage.SafeLine(run.Checkpoints.Select(checkpoints => checkpoints[^1].Label));
        int nodes = run.Checkpoints.Length;
        for (int failed = 1; failed < 1 << nodes; failed++)
        {
            NodeStatus[] states =
            [
                .. Enumerable.Range(0, nodes).Select(i => new NodeStatus
                {
                    Failed = (failed >> i & 1) != 0,
                    Index = run.Indices[i],
                    Checkpoints = run.Checkpoints[i],
                }),
            ];
            RecoveryPlan plan = RecoveryPlan.ByIndex(states, 0);
            for (int i = 0; i < nodes; i++)
            {
                if (plan.Steps[i] != RecoveryStep.RollBack)
                {
                    continue;
                }

                Assert.True(plan.Members[i] >= Garbage.Checkpoints([.. run.Checkpoints[i]], safe));

                // Output is made in the interval after each checkpoint; what may leave was made before the member.
                for (int x = plan.Members[i]; x < run.Checkpoints[i].Count; x++)
                {
                    Assert.False(OutputCommit.MayLeave(run.Checkpoints[i][x].Label, safe));
                }
            }
        }
    }).Check(Properties.Quiet);

    private static long Allocated<TProtocol, TPiggyback>()
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        Exchange<TProtocol, TPiggyback>(10);

        // More than once: the runtime itself may allocate when it replaces code that runs often.
        long least = long.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Exchange<TProtocol, TPiggyback>(1000);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }

    private static void Exchange<TProtocol, TPiggyback>(int messages)
        where TProtocol : struct, IProtocol<TProtocol, TPiggyback>
    {
        TProtocol a = TProtocol.Create(0, 2);
        TProtocol b = TProtocol.Create(1, 2);
        for (int i = 0; i < messages; i++)
        {
            if (i % 7 == 0 && a.OnTick())
            {
                _ = a.OnCheckpointDone();
            }

            if (a.OnSend(1, out TPiggyback piggyback))
            {
                _ = a.OnCheckpointDone();
            }

            if (b.OnReceive(0, piggyback) == ReceiveDecision.CheckpointFirst)
            {
                _ = b.Save();
                _ = b.OnCheckpointDone();
                _ = b.OnReceive(0, piggyback);
            }

            (a, b) = (b, a);
        }
    }
}
