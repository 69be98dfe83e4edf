using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public class TrafficTests
{
    public static TheoryData<WorkloadKind> Kinds => [.. Enum.GetValues<WorkloadKind>().Where(kind => kind != WorkloadKind.Recorded)];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_message_is_sent_once_then_delivered_once_to_somebody_else(WorkloadKind kind)
    {
        foreach (int vms in new[] { 2, 9, 64, 100 })
        {
            var topology = new Topology(vms, 8);
            TrafficEvent[] events = Take(kind, topology, 1, 20_000);
            var flying = new Dictionary<int, TrafficEvent>();
            long now = 0;
            Assert.Equal(20_000, events.Length);
            foreach (TrafficEvent e in events)
            {
                Assert.True(e.Time >= now);
                now = e.Time;
                Assert.InRange(e.From, 0, vms - 1);
                Assert.InRange(e.To, 0, vms - 1);
                Assert.NotEqual(e.From, e.To);
                if (e.Message >= 0)
                {
                    flying.Add(e.Message, e);
                }
                else
                {
                    Assert.True(flying.Remove(~e.Message, out TrafficEvent sent));
                    Assert.Equal((sent.From, sent.To), (e.From, e.To));
                }
            }

            Assert.InRange(flying.Count, 0, 10 * vms);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_seed_decides_and_nothing_else(WorkloadKind kind)
    {
        var topology = new Topology(64, 8);
        Assert.Equal(Take(kind, topology, 5, 5000), Take(kind, topology, 5, 5000));
        Assert.NotEqual(Take(kind, topology, 5, 5000), Take(kind, topology, 6, 5000));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    [InlineData(1)]
    public void The_local_part_is_the_probability(double p)
    {
        var topology = new Topology(1000, 8);
        TrafficEvent[] sent =
        [
            .. Take(WorkloadKind.Local, topology, 1, 200_000, p).Where(e => e.Message >= 0),
        ];
        double local = sent.Count(e => topology.NodeOf(e.From) == topology.NodeOf(e.To)) / (double)sent.Length;
        Assert.InRange(local, p - 0.01, p + 0.01);
    }

    [Fact]
    public void Uniform_traffic_is_local_by_chance_only()
    {
        var topology = new Topology(1000, 8);
        TrafficEvent[] sent = [.. Take(WorkloadKind.Uniform, topology, 1, 400_000).Where(e => e.Message >= 0)];
        double local = sent.Count(e => topology.NodeOf(e.From) == topology.NodeOf(e.To)) / (double)sent.Length;
        Assert.InRange(local, 0.8 * 7 / 999, 1.2 * 7 / 999);
        Assert.Equal(1000, sent.Select(e => e.To).Distinct().Count());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_expected_duration_is_about_that_of_the_events(WorkloadKind kind)
    {
        var topology = new Topology(100, 8);
        long expected = Traffic.DurationOf(new Workload { Kind = kind }, topology, 1, 100_000);
        long real = Take(kind, topology, 1, 100_000)[^1].Time;
        Assert.InRange(real / (double)expected, 0.9, 1.1);
    }

    [Theory]
    [InlineData(WorkloadKind.Uniform)]
    [InlineData(WorkloadKind.Local)]
    [InlineData(WorkloadKind.Ring)]
    [InlineData(WorkloadKind.Halo)]
    [InlineData(WorkloadKind.AllToAll)]
    public void Drawing_ahead_changes_no_message(WorkloadKind kind)
    {
        var topology = new Topology(41, 8);
        var workload = new Workload { Kind = kind };
        var expected = new List<(long Sent, int From, int To, long Delivered)>();
        var destinations = new Destinations(workload, topology);
        TrafficEvent[] events = Take(kind, topology, 3, 20_000);
        for (int vm = 0; vm < topology.Vms; vm++)
        {
            // One draw after the other.
            var stream = new RandomStream(3, 1, (uint)vm);
            for (long now = destinations.NextGap(vm, ref stream); now <= events[^1].Time;)
            {
                int to = destinations.Next(vm, ref stream);
                bool local = topology.NodeOf(vm) == topology.NodeOf(to);
                expected.Add((now, vm, to, now + (local ? workload.LocalDelay : workload.Delay).Next(ref stream)));
                now += destinations.NextGap(vm, ref stream);
            }
        }

        var sent = new Dictionary<int, TrafficEvent>();
        var seen = new List<(long Sent, int From, int To, long Delivered)>();
        foreach (TrafficEvent e in events)
        {
            if (e.Message >= 0)
            {
                sent.Add(e.Message, e);
            }
            else
            {
                _ = sent.Remove(~e.Message, out TrafficEvent message);
                seen.Add((message.Time, e.From, e.To, e.Time));
            }
        }

        Assert.Equal(expected.Where(message => message.Delivered < events[^1].Time).Order(), seen.Where(message => message.Delivered < events[^1].Time).Order());
    }

    [Fact]
    public void Nodes_by_multiplication_are_nodes_by_division()
    {
        foreach (int vmsPerNode in new[] { 1, 2, 3, 7, 8, 1000, 32751, 32752 })
        {
            var topology = new Topology(1 << 24, vmsPerNode);
            for (int vm = 0; vm < 1 << 24; vm += 997)
            {
                Assert.Equal(vm / vmsPerNode, topology.NodeOf(vm));
            }

            for (int node = 1; node < Math.Min(2000, topology.Nodes); node++)
            {
                Assert.Equal(node, topology.NodeOf(node * vmsPerNode));
                Assert.Equal(node - 1, topology.NodeOf((node * vmsPerNode) - 1));
            }

            Assert.Equal(topology.Nodes - 1, topology.NodeOf((1 << 24) - 1));
        }
    }

    internal static TrafficEvent[] Take(
        WorkloadKind kind, Topology topology, ulong seed, int count, double probability = 0.5)
    {
        var traffic = new Traffic(new Workload { Kind = kind, Probability = probability }, topology, seed);
        var events = new TrafficEvent[count];
        int filled = 0;
        while (filled < count && traffic.Next(events.AsSpan(filled, Math.Min(100, count - filled))) is > 0 and int more)
        {
            filled += more;
        }

        return events[..filled];
    }
}
