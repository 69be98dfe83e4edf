using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class LaneTests
{
    public static TheoryData<string> Protocols => [.. ProtocolFamily.All.Select(traits => traits.Name)];

    [Fact]
    public void The_invariants_of_BCS_hold_in_every_run() => Prop.ForAll<ulong, byte>((seed, shape) =>
    {
        var topology = new Topology(2 + (shape % 60), 1 + (shape % 9));
        var settings = new RunSettings
        {
            Topology = topology,
            Workload = new Workload
            {
                Kind = (WorkloadKind)(seed % 8),
                Delay = new Distribution(DistributionKind.Exponential, shape % 2 == 0 ? 0.001 : 3),
            },
            Events = 3000,
            Seed = seed,
            Lanes = [],
        };
        var checkpoints = new long[topology.Vms];
        var indices = new long[topology.Vms];
        var records = new List<TraceEvent>();
        var lane = new LaneSettings
        {
            Flat = shape % 3 == 0,
            Interval = new Distribution(DistributionKind.Exponential, 1 + (shape % 7)),
        };
        TraceHeader header = TraceHeader.For(Find("bcs"), lane.Flat ? topology.Vms : topology.Nodes, channelLogs: true);
        var checker = new TraceChecker(header);
        LaneResult result = Run.Execute(settings, [Lane.Create(lane, topology, seed, new TraceProbe(
            header.Line, item =>
            {
                checker.Add(in item);
                if (item.IsCheckpoint)
                {
                    checkpoints[item.Node]++;
                    Assert.True(item.Index > indices[item.Node]);
                    indices[item.Node] = item.Index;
                }
            }))]).Lanes[0];
        Assert.All(checkpoints.Zip(indices), pair => Assert.True(pair.First <= pair.Second));
        Assert.Equal(indices.Max(), result.MaxIndex);
        Assert.True(result.MaxIndex <= result.Basic);
        Assert.True(result.Forced <= result.Remote);
        Assert.Equal(checkpoints.Sum(), result.Checkpoints);
        CheckReport report = checker.Complete();
        Assert.Equal(0, report.Useless);
        Assert.True(report.Sound, string.Join('\n', report.Findings));
    }).Check(Properties.Few);

    [Theory]
    [MemberData(nameof(Protocols))]
    public void Runs_of_every_protocol_are_sound(string protocol)
    {
        foreach (ulong seed in new ulong[] { 1, 2, 3 })
        {
            var topology = new Topology(40, 4);
            var lane = new LaneSettings { Protocol = protocol, Interval = new Distribution(DistributionKind.Jittered, 5, 0.3) };
            TraceHeader header = TraceHeader.For(Find(protocol), topology.Nodes, channelLogs: true);
            var checker = new TraceChecker(header);
            RunSettings settings = Settings(topology, seed, []);
            _ = Run.Execute(settings, [Lane.Create(
                lane, topology, seed, new TraceProbe(header.Line, item => checker.Add(in item)))]);
            CheckReport report = checker.Complete();
            Assert.True(report.Sound, string.Join('\n', report.Findings));
            Assert.True(report.Basic > 0);
            Assert.Equal(0, Find(protocol).NoUselessCheckpoints ? report.Useless : 0);
        }
    }

    [Fact]
    public void Every_protocol_sees_the_same_messages_at_the_same_times()
    {
        var topology = new Topology(40, 4);
        long[][] seen =
        [
            .. ProtocolFamily.All.Select(traits =>
            {
                var times = new List<long>();
                _ = Run.Execute(Settings(topology, 9, []), [Lane.Create(
                    new LaneSettings { Protocol = traits.Name, Interval = new Distribution(DistributionKind.Jittered, 3, 0.1) },
                    topology, 9, new SendTimes(times))]);
                return times.ToArray();
            }),
        ];
        Assert.True(seen[0].Length > 1000);
        Assert.All(seen, times => Assert.Equal(seen[0], times));
    }

    [Fact]
    public void A_lane_does_not_change_what_its_neighbours_see()
    {
        var topology = new Topology(40, 4);
        LaneSettings[] lanes =
        [
            .. ProtocolFamily.All.Select(traits => new LaneSettings
            {
                Protocol = traits.Name,
                Interval = new Distribution(DistributionKind.Jittered, 3, 0.1),
            }),
        ];
        LaneResult[] together = [.. Run.Execute(Settings(topology, 4, lanes)).Lanes];
        LaneResult[] alone = [.. lanes.Select(lane => Run.Execute(Settings(topology, 4, [lane])).Lanes[0])];
        Assert.Equal(alone, together);
    }

    [Fact]
    public void Messages_that_stay_inside_force_nothing()
    {
        var topology = new Topology(40, 4);
        LaneResult[] lanes =
        [
            .. Run.Execute(Settings(topology, 1, [new(), new() { Flat = true }]) with
            {
                Workload = new Workload { Kind = WorkloadKind.Local, Probability = 1 },
            }).Lanes,
        ];
        Assert.Equal((0, 0), (lanes[0].Forced, lanes[0].Remote));
        Assert.True(lanes[1].Forced > 0);
        Assert.Equal(lanes[1].Remote, lanes[0].Local);
    }

    [Fact]
    public void A_checkpoint_of_a_node_counts_all_of_its_VMs()
    {
        LaneResult result = Run.Execute(Settings(new Topology(42, 4), 1, [new()])).Lanes[0];
        Assert.Equal(11, result.Processes);
        Assert.InRange(result.ForcedVms, 2 * result.Forced, (4 * result.Forced) - 1);
    }

    [Fact]
    public void A_recorded_trace_is_judged_as_the_run_was()
    {
        var topology = new Topology(40, 4);
        TraceHeader header = TraceHeader.For(Find("bcs"), topology.Nodes, channelLogs: true);
        using var stream = new MemoryStream();
        using TraceWriter writer = TraceWriter.Create(stream, header);
        LaneResult result = Run.Execute(Settings(topology, 1, []), [Lane.Create(
            new LaneSettings(), topology, 1, new TraceProbe(header.Line, item => writer.Write(in item)))]).Lanes[0];
        writer.Complete();
        stream.Position = 0;
        CheckReport report = TraceChecker.Check(stream);
        Assert.Equal((result.Basic, result.Forced, result.Remote), (report.Basic, report.Forced, report.Receives));
    }

    internal static ProtocolTraits Find(string name) => ProtocolFamily.All.First(traits => traits.Name == name);

    private static RunSettings Settings(Topology topology, ulong seed, LaneSettings[] lanes) => new()
    {
        Topology = topology,
        Workload = new Workload(),
        Events = 5000,
        Seed = seed,
        Lanes = lanes,
    };

    private readonly record struct SendTimes(List<long> Times) : ILaneProbe
    {
        public void OnCheckpoint(long time, int process, long label, bool forced)
        {
        }

        public void OnSend(long time, int from, int to, int message, long index)
        {
            if (message >= 0)
            {
                Times.Add(time);
                Times.Add(((long)from << 32) | (uint)to);
            }
        }

        public void OnDeliver(long time, int from, int to, int message, long index)
        {
        }
    }
}
