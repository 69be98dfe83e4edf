using Grpc.Core;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

public class EventTests
{
    [Fact]
    public async Task Events_come_in_order_and_from_where_a_reader_was()
    {
        await using TestNode node = await TestNode.StartAsync();
        CheckpointReport report = await node.CheckpointAsync();
        using AsyncServerStreamingCall<Event> all = node.Client.WatchEvents(new WatchEventsRequest { After = 0 });
        var events = new List<Event>();
        do
        {
            events.Add((await all.ReadAsync())!);
        }
        while (events[^1].KindCase != Event.KindOneofCase.State || events.Count < 3 || events[^1].State != NodeState.Ready);
        Assert.Equal(Enumerable.Range(1, events.Count).Select(i => (ulong)i), events.Select(e => e.Sequence));
        Assert.Equal(events.Select(e => e.At.ToDateTimeOffset()).Order(), events.Select(e => e.At.ToDateTimeOffset()));
        Assert.Equal(
            [NodeState.Ready, NodeState.Checkpointing, NodeState.Ready],
            events.Where(e => e.KindCase == Event.KindOneofCase.State).Select(e => e.State));
        Assert.Equal(report, Assert.Single(events, e => e.CheckpointTaken is not null).CheckpointTaken);
        Assert.Equal(1UL, Assert.Single(events, e => e.KindCase == Event.KindOneofCase.DurableSn).DurableSn);
        Assert.Contains(events, e => e.CheckpointProgress is not null);

        using AsyncServerStreamingCall<Event> rest = node.Client.WatchEvents(
            new WatchEventsRequest { After = events[0].Sequence, WithoutProgress = true });
        foreach (Event expected in events.Skip(1).Where(e => e.CheckpointProgress is null))
        {
            Assert.Equal(expected, await rest.ReadAsync());
        }

        // A number of an earlier run of the daemon: all that is kept.
        using AsyncServerStreamingCall<Event> earlier = node.Client.WatchEvents(new WatchEventsRequest { After = 1000 });
        Assert.Equal(events[0], await earlier.ReadAsync());

        // From now on, whenever that is.
        using AsyncServerStreamingCall<Event> now = node.Client.WatchEvents(new WatchEventsRequest());
        Task<Event> failing = FailedAsync(now, events[^1].Sequence);
        do
        {
            node.Hypervisor.Guests[0].Arm(ModelFault.SuspendNotAcknowledged);
            await TestNode.FailsAsync(Grpc.Core.StatusCode.Aborted, "SUSPEND_TIMEOUT", () => node.CheckpointAsync(
                new CheckpointRequest { Domains = { "a" }, SuspendTimeout = Google.Protobuf.WellKnownTypes.Duration.FromTimeSpan(TimeSpan.FromMilliseconds(50)) }));
        }
        while (!failing.IsCompleted);
        Assert.Equal("SUSPEND_TIMEOUT", (await failing).CheckpointFailed.Reason);

        static async Task<Event> FailedAsync(AsyncServerStreamingCall<Event> now, ulong last)
        {
            while (true)
            {
                Event next = (await now.ReadAsync())!;
                Assert.True(next.Sequence > last);
                if (next.CheckpointFailed is not null)
                {
                    return next;
                }
            }
        }
    }

    [Fact]
    public async Task A_reader_that_is_too_slow_learns_how_many_it_missed()
    {
        var log = new EventLog(4);
        for (ulong i = 1; i <= 10; i++)
        {
            log.Add(new Event { DurableSn = i });
        }

        Event missed = await log.ReadAsync(2, CancellationToken.None);
        Assert.Equal((6UL, 4UL), (missed.Sequence, missed.Missed.Events));
        for (ulong i = 7; i <= 10; i++)
        {
            Event next = await log.ReadAsync((long)i - 1, CancellationToken.None);
            Assert.Equal((i, i), (next.Sequence, next.DurableSn));
        }

        Task<Event> waiting = log.ReadAsync(10, CancellationToken.None);
        Assert.False(waiting.IsCompleted);
        log.Add(new Event { DurableSn = 11 });
        Assert.Equal(11UL, (await waiting).Sequence);
    }
}
