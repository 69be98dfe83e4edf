using System.Diagnostics;
using XenTwoLevelCkpt.Simulation.Events;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

foreach (int n in new[] { 1000, 10000 })
{
    for (int i = 0; i < 4; i++)
    {
        (double s, long t) = HoldModel.Run(n, 30_000_000, 1);
        Console.WriteLine($"{n} {30 / s:F1} M/s {t}");
    }
}
foreach (int lanes in new[] { 0, 1, 1,1, 3 })
{
    var w = new Workload();
    var topo = new Topology(1000, 8);
    long ev = 20_000_000;
    double d = Traffic.DurationOf(w, topo, 1, ev) / 1e9;
    var watch = Stopwatch.StartNew();
    var r = Run.Execute(new RunSettings { Topology = topo, Workload = w, Events = ev, Lanes = Enumerable.Repeat(new LaneSettings { Interval = new(DistributionKind.Jittered, d / 100, 0.1) }, lanes).ToArray() });
    Console.WriteLine($"{lanes} lanes {ev / 1e6 / watch.Elapsed.TotalSeconds:F1} M/s {string.Join(" ", r.Lanes.Take(1))}");
}
