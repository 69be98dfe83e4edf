using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using XenTwoLevelCkpt.Simulation.Timed;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class TimedTests
{
    public static TheoryData<string> Protocols => LaneTests.Protocols;

    [Theory]
    [MemberData(nameof(Protocols))]
    public void Recoveries_of_every_protocol_are_sound(string protocol) => Prop.ForAll<ulong, byte>((seed, shape) =>
    {
        var topology = new Topology(6 + (shape % 20), 1 + (shape % 4));
        var settings = new TimedSettings
        {
            Topology = topology,
            Workload = new Workload
            {
                Kind = shape % 2 == 0 ? WorkloadKind.Uniform : WorkloadKind.Local,
                Gap = new Distribution(DistributionKind.Exponential, 0.5),
                Delay = new Distribution(DistributionKind.Exponential, 0.2),
            },
            Lane = new LaneSettings
            {
                Protocol = protocol,
                Flat = shape % 5 == 0,
                Interval = new Distribution(DistributionKind.Jittered, 5, 0.2),
            },
            Duration = 120,
            Cost = new Distribution(DistributionKind.Exponential, 0.05),
            ImageBytes = 1,
            StorageBandwidth = 10 * topology.Vms,
            WaitForStorage = shape % 7 == 0,
            RecordedFailures = [.. FailuresOf(seed, topology)],
            Detection = new Distribution(DistributionKind.Exponential, 0.5),
            Restart = new Distribution(DistributionKind.Exponential, 1),
            Seed = seed,
        };
        var checker = new TraceChecker(TraceHeader.For(
            LaneTests.Find(protocol), settings.Lane.Flat ? topology.Vms : topology.Nodes, rollbacks: true, channelLogs: true));
        TimedResult result = TimedRun.Execute(settings with { Trace = item => checker.Add(in item) });
        CheckReport report = checker.Complete();
        Assert.True(report.Sound, string.Join('\n', report.Findings));
        Assert.Equal(result.Rollbacks, report.Rollbacks);
        Assert.Equal(1, result.Useful + result.Suspended + result.Lost + result.Down, 1e-9);
    }).Check(Properties.Few);

    // Some near each other, and the last one long before the end: what is to be replayed has been by then.
    private static IEnumerable<(double Time, int Node)> FailuresOf(ulong seed, Topology topology)
    {
        var random = new RandomStream(seed, 99, 0);
        for (double time = 8; time < 80; time += random.NextExponential() * (random.NextBelow(2) == 0 ? 1 : 20))
        {
            yield return (time, random.NextBelow(topology.Nodes));
        }
    }

    [Theory]
    [InlineData("bcs", false)]
    [InlineData("bcs", true)]
    [InlineData("manivannan-singhal", false)]
    [InlineData("hmnr", false)]
    public void Where_checkpoints_take_no_time_both_models_agree(string protocol, bool flat)
    {
        var topology = new Topology(60, 5);
        var workload = new Workload { Kind = WorkloadKind.Local };
        var lane = new LaneSettings
        {
            Protocol = protocol,
            Flat = flat,
            Interval = new Distribution(DistributionKind.Jittered, 4, 0.1),
        };
        RunResult run = Run.Execute(new RunSettings
        {
            Topology = topology,
            Workload = workload,
            Events = 20_000,
            Seed = 3,
            Lanes = [lane],
        });
        TimedResult timed = TimedRun.Execute(new TimedSettings
        {
            Topology = topology,
            Workload = workload,
            Lane = lane,
            Seed = 3,
            Duration = (run.EndTime + 0.5) / 1e9,
        });
        LaneResult expected = run.Lanes[0];
        Assert.Equal(
            (expected.Basic, expected.Forced, expected.Remote, expected.Local),
            (timed.Basic, timed.Forced, timed.Remote, timed.Local));
        Assert.Equal(1, timed.Useful, 1e-9);
    }

    [Fact]
    public void A_checkpoint_stops_its_process_for_its_cost()
    {
        TimedResult result = TimedRun.Execute(Quiet(1000) with { Cost = new Distribution(DistributionKind.Constant, 2) });

        // Ticks come each 10 s whatever a checkpoint takes.
        Assert.InRange(result.Basic, 99, 100);
        Assert.Equal(result.Basic * 2 / 1000.0, result.Suspended, 0.0021);
        Assert.Equal(0, result.Lost);
    }

    [Fact]
    public void A_failure_loses_the_work_since_the_last_durable_checkpoint()
    {
        TimedResult result = TimedRun.Execute(Quiet(100) with
        {
            Cost = new Distribution(DistributionKind.Constant, 0),
            RecordedFailures = [(55, 0)],
            Detection = new Distribution(DistributionKind.Constant, 3),
            Restart = new Distribution(DistributionKind.Constant, 4),
        });
        Assert.Equal((1, 1, 1), (result.Failures, result.Recoveries, result.Rollbacks));
        Assert.Equal(0.07, result.Down, 1e-9);
        Assert.InRange(result.Lost, 0.0001, 0.1);

        TimedResult slow = TimedRun.Execute(Quiet(100) with
        {
            ImageBytes = 12,
            LinkBandwidth = 1,
            RecordedFailures = [(55, 0)],
        });

        // Written 12 s late, the last one or the last two are not durable yet.
        Assert.InRange(slow.Lost, result.Lost + 0.0999, result.Lost + 0.2001);
    }

    [Fact]
    public void Writers_share_the_storage()
    {
        var storage = new SharedStorage(total: 100, each: 50);
        int a = storage.Begin(0, 100), b = storage.Begin(0, 100), c = storage.Begin(0, 100);
        Assert.Equal(3, storage.Writers);
        Assert.Equal(3_000_000_000, storage.NextEnd());
        storage.Cancel(0, b);
        Assert.Equal(2_000_000_000, storage.NextEnd());
        Assert.Equal(a, storage.End(2_000_000_000));
        Assert.Equal(c, storage.End(storage.NextEnd()!.Value));
        int d = storage.Begin(5_000_000_000, 100);
        Assert.Equal(7_000_000_000, storage.NextEnd());
        Assert.Equal(d, storage.End(7_000_000_000));
        Assert.Null(storage.NextEnd());
        Assert.Equal(3, storage.MostWriters);
    }

    [Fact]
    public void Coordination_makes_all_nodes_write_at_once_and_BCS_does_not()
    {
        TimedResult bcs = Contended("bcs"), coordinated = Contended("chandy-lamport");
        Assert.Equal(16, coordinated.WritersMax);
        Assert.InRange(bcs.WritersMax, 1, 15);
        Assert.True(bcs.WriteMean < coordinated.WriteMean);

        static TimedResult Contended(string protocol) => TimedRun.Execute(new TimedSettings
        {
            Topology = new Topology(16, 1),
            Workload = new Workload { Gap = new Distribution(DistributionKind.Exponential, 200) },
            Lane = new LaneSettings { Protocol = protocol, Interval = new Distribution(DistributionKind.Jittered, 100, 0.1) },
            Duration = 1000,
            ImageBytes = 1,
            StorageBandwidth = 4,
            LinkBandwidth = 2,
        });
    }

    // One process that sends nothing, with a tick each 10 s.
    private static TimedSettings Quiet(double duration) => new()
    {
        Topology = new Topology(1, 1),
        Workload = new Workload(),
        Lane = new LaneSettings { Interval = new Distribution(DistributionKind.Constant, 10) },
        Duration = duration,
    };
}
