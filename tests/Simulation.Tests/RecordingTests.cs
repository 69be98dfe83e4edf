using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using XenTwoLevelCkpt.Simulation.Timed;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

/// <summary>Recorded traces as workloads.</summary>
public class RecordingTests
{
    // Without the one whose markers are messages in a trace, and would be there twice, and the one that counts ticks
    // that it skips: a trace does not have those.
    public static TheoryData<string> Protocols =>
    [
        .. Protocol.ProtocolFamily.All.Select(traits => traits.Name).Except(["chandy-lamport", "manivannan-singhal"]),
    ];

    [Theory]
    [MemberData(nameof(Protocols))]
    public void A_protocol_repeats_its_own_recorded_run(string protocol) => Prop.ForAll<ulong, byte>((seed, shape) =>
    {
        var topology = new Topology(20 + (shape % 20), 1 + (shape % 4));
        var lane = new LaneSettings { Protocol = protocol, Interval = new Distribution(DistributionKind.Jittered, 5, 0.3) };
        TraceEvent[] recorded = Record(lane, new RunSettings
        {
            Topology = topology,
            Workload = new Workload { Delay = new Distribution(DistributionKind.Exponential, 0.3) },
            Events = 3000,
            Seed = seed,
            Lanes = [],
        }).Events;
        Recording recording = Read(Protocol.Checking.TraceHeader.For(LaneTests.Find(protocol), topology.Nodes), recorded);
        var settings = new RunSettings
        {
            Topology = new Topology(topology.Nodes, 1),
            Workload = new Workload { Kind = WorkloadKind.Recorded, Recording = recording },
            Events = recording.Events,
            Seed = seed + 1,
            Lanes = [],
        };

        // What ticks after the last message is not part of a run that ends with it.
        TraceEvent[] repeated = Record(lane with { RecordedTicks = true }, settings).Events;
        Assert.Equal(recorded[..repeated.Length], repeated);
        Assert.DoesNotContain(recorded[repeated.Length..], item => item.Kind is not (TraceEventKind.Basic or TraceEventKind.Other));
    }).Check(Properties.Few);

    [Fact]
    public void Another_protocol_sees_the_recorded_messages_in_their_order()
    {
        var topology = new Topology(24, 1);
        TraceEvent[] recorded = Record(new LaneSettings(), new RunSettings
        {
            Topology = topology,
            Workload = new Workload { Delay = new Distribution(DistributionKind.Exponential, 0.3) },
            Events = 4000,
            Lanes = [],
        }).Events;
        Recording recording = Read(TraceHeader.For(LaneTests.Find("bcs"), 24), recorded);
        var settings = new RunSettings
        {
            Topology = topology,
            Workload = new Workload { Kind = WorkloadKind.Recorded, Recording = recording },
            Events = long.MaxValue,
            Lanes = [],
        };
        (TraceEvent[] events, LaneResult result) = Record(
            new LaneSettings { Protocol = "hmnr", Interval = new Distribution(DistributionKind.Jittered, 7, 0.1) }, settings);
        Assert.Equal(Messages(recorded), Messages(events));
        Assert.True(result.Basic > 100);
        Assert.NotEqual(recorded.Count(item => item.IsCheckpoint), events.Count(item => item.IsCheckpoint));

        // By fours on nodes the same messages are partly local.
        LaneResult grouped = Record(new LaneSettings(), settings with { Topology = new Topology(24, 4) }).Result;
        Assert.Equal(
            recorded.Count(item => item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged), grouped.Local + grouped.Remote);
        Assert.InRange(grouped.Local, 1, grouped.Remote);
    }

    [Fact]
    public void Time_is_spread_so_that_a_VM_sends_a_message_a_gap()
    {
        Recording recording = Read(
            new TraceHeader { Nodes = 2 }, TraceEvent.Send(0, 1, 5, 0), TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1),
            TraceEvent.Receive(1, 5, 1), TraceEvent.Send(1, 0, 6, 1), TraceEvent.Receive(0, 6, 1));
        var workload = new Workload
        {
            Kind = WorkloadKind.Recorded,
            Recording = recording,
            Gap = new Distribution(DistributionKind.Constant, 8e-9),
        };
        var topology = new Topology(2, 1);
        var block = new TrafficEvent[10];
        var traffic = new Traffic(workload, topology, 1);
        Assert.Equal(5, traffic.Next(block));
        Assert.Equal(
            [
                new TrafficEvent(2, 0, 1, 0), new TrafficEvent(2, 1, 1, TrafficEvent.Tick), new TrafficEvent(4, 0, 1, ~0),
                new TrafficEvent(6, 1, 0, 0), new TrafficEvent(8, 1, 0, ~0),
            ],
            block[..5]);
        Assert.Equal(8, Traffic.DurationOf(workload, topology, 1, 4));
        Assert.Equal((4, 1), (recording.Events, recording.Ticks));
    }

    [Fact]
    public void What_a_recovery_delivers_again_counts_once()
    {
        var settings = new TimedSettings
        {
            Topology = new Topology(8, 1),
            Workload = new Workload(),
            Lane = new LaneSettings { Interval = new Distribution(DistributionKind.Jittered, 3, 0.1) },
            Duration = 100,
            RecordedFailures = [(20, 1), (50, 2), (80, 3)],
            Restart = new Distribution(DistributionKind.Constant, 1),
        };
        var events = new List<TraceEvent>();
        TimedResult result = TimedRun.Execute(settings with { Trace = events.Add });
        Assert.True(result.Replayed > 0);
        Recording recording = Read(TraceHeader.For(LaneTests.Find("bcs"), 8, rollbacks: true, channelLogs: true), [.. events]);
        long sent = events.Count(item => item.Kind == TraceEventKind.Send);
        long delivered = events.Where(item => item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged)
            .Select(item => item.Message).Distinct().LongCount();
        Assert.Equal(sent + delivered, recording.Events);
    }

    [Fact]
    public void A_timed_run_sends_what_was_recorded_and_ticks_when_it_did()
    {
        var topology = new Topology(24, 1);
        TraceEvent[] recorded = Record(new LaneSettings(), new RunSettings
        {
            Topology = topology,
            Workload = new Workload(),
            Events = 4000,
            Lanes = [],
        }).Events;
        var settings = new TimedSettings
        {
            Topology = topology,
            Workload = new Workload
            {
                Kind = WorkloadKind.Recorded,
                Recording = Read(TraceHeader.For(LaneTests.Find("bcs"), 24), recorded),
            },
            Lane = new LaneSettings { RecordedTicks = true },
            Duration = 1000,
            Cost = new Distribution(DistributionKind.Constant, 0.01),
        };
        var events = new List<TraceEvent>();
        TimedResult result = TimedRun.Execute(settings with { Trace = events.Add });
        foreach (int node in Enumerable.Range(0, 24))
        {
            Assert.Equal(Receivers(recorded, node), Receivers(events, node));
        }

        Assert.Equal(recorded.Count(item => item.Kind == TraceEventKind.Basic), result.Basic);
        Assert.True(result.Suspended > 0);
    }

    [Fact]
    public void A_trace_of_what_cannot_be_is_refused()
    {
        TraceEvent send = TraceEvent.Send(0, 1, 5, 0), receive = TraceEvent.Receive(1, 5, 0);
        Refused("message 5 is delivered, and was not sent before or was delivered already", receive);
        Refused("message 5 is delivered, and was not sent before or was delivered already", send, receive, receive);
        Refused("message 5 to node 1 is delivered at node 0", send, TraceEvent.Receive(0, 5, 0));
        Refused("message 5 is sent a second time; each needs a number of its own", send, send);
        Assert.Throws<SettingsException>(() => new Traffic(
            new Workload { Kind = WorkloadKind.Recorded, Recording = Read(new TraceHeader { Nodes = 2 }, send) }, new Topology(3, 1), 1));
        Assert.Throws<SettingsException>(() => new Workload { Kind = WorkloadKind.Recorded }.Validate());

        static void Refused(string message, params TraceEvent[] events) => Assert.EndsWith(
            message, Assert.Throws<TraceException>(() => Read(new TraceHeader { Nodes = 2 }, events)).Message, StringComparison.Ordinal);
    }

    private static Recording Read(TraceHeader header, params TraceEvent[] events)
    {
        using var stream = new MemoryStream();
        using TraceWriter writer = TraceWriter.Create(stream, header);
        foreach (TraceEvent item in events)
        {
            writer.Write(in item);
        }

        writer.Complete();
        stream.Position = 0;
        return Recording.Read(stream);
    }

    private static (TraceEvent[] Events, LaneResult Result) Record(LaneSettings lane, RunSettings settings)
    {
        var events = new List<TraceEvent>();
        RunResult run = Run.Execute(settings, [Lane.Create(
            lane, settings.Topology, settings.Seed, new TraceProbe(LaneTests.Find(lane.Protocol).Line, events.Add))]);
        return ([.. events], run.Lanes[0]);
    }

    private static IEnumerable<(bool Sent, int Node, long Message)> Messages(IEnumerable<TraceEvent> events) => events
        .Where(item => item.Kind is TraceEventKind.Send or TraceEventKind.Receive or TraceEventKind.ReceiveLogged)
        .Select(item => (item.Kind == TraceEventKind.Send, item.Node, item.Message));

    private static IEnumerable<int> Receivers(IEnumerable<TraceEvent> events, int node) => events
        .Where(item => item.Kind == TraceEventKind.Send && item.Node == node).Select(item => item.Peer);
}
