using System.Text;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>The checker against a judge that keeps every event and looks at all of them: runs with rollbacks in which each node goes
/// back where it likes.</summary>
public sealed class RollbackJudgeTests
{
    // Node 0 goes back to its beginning, so that its first message was never sent, and sends another one to the same interval of node 1.
    [Fact]
    public void A_later_message_does_not_hide_one_whose_sending_was_undone()
    {
        const string Trace = """
            {"type":"xtl-trace","version":1,"nodes":2,"protocol":"bcs","line":"first-at-least","rollbacks":true,"channelLogs":false}
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            {"type":"failure","node":0}
            {"type":"rollback","node":0,"checkpoint":0,"index":0}
            {"type":"send","node":0,"to":1,"message":1,"index":0}
            {"type":"receive-logged","node":1,"message":1,"index":0}
            {"type":"basic","node":1,"index":1}
            {"type":"end","records":7}

            """;
        CheckReport report = TraceChecker.Check(new MemoryStream(Encoding.UTF8.GetBytes(Trace)));
        Assert.False(report.Sound);
        Assert.Equal([FindingKind.OrphanAfterRecovery], report.Counts.Keys);
    }

    [Fact]
    public void Orphans_are_those_that_a_judge_finds_who_forgets_nothing()
    {
        int orphans = 0, sound = 0;
        for (int seed = 0; seed < 20_000; seed++)
        {
            (TraceHeader header, List<TraceEvent> events) = Run(new Random(seed));
            int expected = Orphans(header.Nodes, events);
            var checker = new TraceChecker(header);
            events.ForEach(e => checker.Add(e));
            bool found = checker.Complete().Counts.ContainsKey(FindingKind.OrphanAfterRecovery);
            Assert.True(found == expected > 0, $"seed {seed}: {expected} orphans stand, and the checker says {found}");
            orphans += found ? 1 : 0;
            sound += found ? 0 : 1;
        }

        Assert.True(orphans > 1000 && sound > 1000, $"{orphans} runs with orphans, {sound} without");
    }

    // Of all deliveries that stand at the end, those whose sending does not.
    private static int Orphans(int nodes, List<TraceEvent> events)
    {
        // What each node has done and not taken back: null for a checkpoint.
        List<(bool Sent, long Message)?>[] done = [.. Enumerable.Range(0, nodes).Select(_ => new List<(bool, long)?> { null })];
        foreach (TraceEvent item in events)
        {
            List<(bool Sent, long Message)?> own = done[item.Node];
            switch (item.Kind)
            {
                case TraceEventKind.Basic:
                    own.Add(null);
                    break;
                case TraceEventKind.Send:
                    own.Add((true, item.Message));
                    break;
                case TraceEventKind.Receive:
                    own.Add((false, item.Message));
                    break;
                case TraceEventKind.Rollback:
                    int at = -1;
                    for (long left = item.Ordinal + 1; left > 0; left--)
                    {
                        at = own.FindIndex(at + 1, e => e is null);
                    }

                    own.RemoveRange(at + 1, own.Count - at - 1);
                    break;
            }
        }

        HashSet<long> sent = [.. done.SelectMany(d => d).Where(e => e is { Sent: true }).Select(e => e!.Value.Message)];
        return done.SelectMany(d => d).Count(e => e is { Sent: false } delivery && !sent.Contains(delivery.Message));
    }

    private static (TraceHeader Header, List<TraceEvent> Events) Run(Random random)
    {
        int nodes = random.Next(2, 4);
        TraceHeader header = TraceHeader.For(Uncoordinated.Traits, nodes, rollbacks: true);
        var events = new List<TraceEvent>();
        long[] last = new long[nodes];
        var underWay = new List<(long Message, int To)>();
        long messages = 0;
        for (int left = random.Next(4, 24); left > 0; left--)
        {
            int node = random.Next(nodes);
            switch (random.Next(8))
            {
                case 0 or 1:
                    events.Add(TraceEvent.Checkpoint(TraceEventKind.Basic, node, 0));
                    last[node]++;
                    break;
                case 2 when random.Next(3) == 0:
                    long back = random.NextInt64(last[node] + 1);
                    events.Add(TraceEvent.Rollback(node, back, 0));
                    last[node] = back;
                    break;
                case < 5:
                    int to = (node + 1 + random.Next(nodes - 1)) % nodes;
                    events.Add(TraceEvent.Send(node, to, messages, 0));
                    underWay.Add((messages++, to));
                    break;
                default:
                    if (underWay.Count > 0)
                    {
                        int which = random.Next(underWay.Count);
                        events.Add(TraceEvent.Receive(underWay[which].To, underWay[which].Message, 0));
                        underWay.RemoveAt(which);
                    }

                    break;
            }
        }

        return (header, events);
    }
}
