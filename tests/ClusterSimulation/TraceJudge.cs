using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>Has the trace checker judge what the nodes recorded.</summary>
internal static class TraceJudge
{
    /// <summary>Judges; null where the domains of a lost node were brought up from two of its checkpoints, or on two hosts, one after the
    /// other: what was recorded of it cannot be put in an order with the rest.</summary>
    internal static CheckReport? Judge(IReadOnlyList<SimulatedHost> hosts)
    {
        if (hosts.SelectMany(h => h.Adopted, (host, from) => (host, from)).GroupBy(a => a.from.Node).Any(same => same.Distinct().Count() > 1))
        {
            return null;
        }

        // Where files are memory, on Linux.
        string folder = Path.Combine("/dev/shm", $"xtl-simulation-{Environment.ProcessId}-{Environment.CurrentManagedThreadId}");
        _ = Directory.CreateDirectory(folder);
        try
        {
            var paths = new List<string>();
            var lost = new List<string>();
            foreach (SimulatedHost host in hosts)
            {
                foreach ((string suffix, MemoryStream octets) in host.Disk.Traces)
                {
                    string path = Path.Combine(folder, host.Name + suffix);
                    File.WriteAllBytes(path, octets.ToArray());
                    paths.Add(path);
                    if (host.IsLost && suffix.Length == 0)
                    {
                        lost.Add(path);
                    }
                }
            }

            using var merged = new MemoryStream();
            TraceFiles.Merge(paths, lost, header => TraceWriter.Create(merged, header));
            merged.Position = 0;
            return TraceChecker.Check(merged);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
