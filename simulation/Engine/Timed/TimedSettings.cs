using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulation.Timed;

/// <summary>A run in which checkpoints take time, storage has a limited bandwidth, and nodes fail.</summary>
public sealed record TimedSettings
{
    /// <summary>The VMs on their nodes.</summary>
    public required Topology Topology { get; init; }

    /// <summary>The workload.</summary>
    public required Workload Workload { get; init; }

    /// <summary>The protocol and its timers.</summary>
    public required LaneSettings Lane { get; init; }

    /// <summary>Simulated seconds after which the run ends.</summary>
    public required double Duration { get; init; }

    /// <summary>T_n: how long a process stands still for its checkpoint, without waiting for storage.</summary>
    public Distribution Cost { get; init; }

    /// <summary>Bytes of one VM's image.</summary>
    public double ImageBytes { get; init; }

    /// <summary>Bytes a second that the shared storage takes from all nodes together; infinite where nothing is said.
    /// </summary>
    public double StorageBandwidth { get; init; } = double.PositiveInfinity;

    /// <summary>Bytes a second that one checkpoint's writing reaches at most.</summary>
    public double LinkBandwidth { get; init; } = double.PositiveInfinity;

    /// <summary>True where a process stands still until its checkpoint is written; false where it is written while the
    /// process runs.</summary>
    public bool WaitForStorage { get; init; }

    /// <summary>Time between failures of one node while it runs; null for none.</summary>
    public Distribution? Failures { get; init; }

    /// <summary>Times of failures from a record, in seconds, each with its node; used beside
    /// <see cref="Failures"/>.</summary>
    public IReadOnlyList<(double Time, int Node)> RecordedFailures { get; init; } = [];

    /// <summary>From a failure until the recovery begins.</summary>
    public Distribution Detection { get; init; } = new(DistributionKind.Constant, 1);

    /// <summary>From the beginning of a recovery until a process that rolls back runs again.</summary>
    public Distribution Restart { get; init; } = new(DistributionKind.Constant, 10);

    /// <summary>Seconds that a process needs for each message replayed from its log, after the restart.</summary>
    public double ReplayCost { get; init; }

    /// <summary>The seed.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Is told the run as a trace; null for nobody.</summary>
    public Action<Protocol.Checking.TraceEvent>? Trace { get; init; }

    /// <summary>Checks the numbers.</summary>
    /// <exception cref="SettingsException">One is out of range.</exception>
    public void Validate()
    {
        Workload.Validate();
        if (Workload.Recording is { } recording && recording.Vms != Topology.Vms)
        {
            throw new SettingsException($"{Topology.Vms} VMs; the trace has {recording.Vms} nodes");
        }

        if (Lane.RecordedTicks && Workload.Recording is null)
        {
            throw new SettingsException("recorded ticks need a recorded trace");
        }

        if (!(Duration is > 0 and < 1e9))
        {
            throw new SettingsException($"a duration of {Duration} s: it has to be above 0 and below 1e9 s");
        }

        if (!(ImageBytes >= 0) || !(StorageBandwidth > 0) || !(LinkBandwidth > 0) || !(ReplayCost >= 0))
        {
            throw new SettingsException("image size and replay cost have to be 0 or more, bandwidths above 0");
        }

        if (Failures is { Mean: <= 0 })
        {
            throw new SettingsException("the mean time between failures has to be above 0");
        }

        foreach ((double time, int node) in RecordedFailures)
        {
            if (!(time >= 0 && time < 1e9) || node < 0 || node >= Topology.Nodes)
            {
                throw new SettingsException(
                    $"a failure of node {node} at {time} s: nodes are 0 to {Topology.Nodes - 1}, times 0 or more");
            }
        }

        if ((Failures is not null || RecordedFailures.Count > 0) && Workload.Kind == WorkloadKind.MasterWorker)
        {
            throw new SettingsException(
                "the workload master-worker has no failures: tasks that a rollback undoes would not be handed out again");
        }
    }
}

/// <summary>What came of a timed run. Shares are of the time of all processes.</summary>
public sealed record TimedResult
{
    /// <summary>Basic checkpoints.</summary>
    public long Basic { get; internal set; }

    /// <summary>Forced checkpoints, those by the failure rule included.</summary>
    public long Forced { get; internal set; }

    /// <summary>Checkpoints begun and lost to a failure.</summary>
    public long Broken { get; internal set; }

    /// <summary>Messages delivered between processes, replays not counted.</summary>
    public long Remote { get; internal set; }

    /// <summary>Messages delivered inside processes.</summary>
    public long Local { get; internal set; }

    /// <summary>Control messages.</summary>
    public long Control { get; internal set; }

    /// <summary>Share of work that was done and stands.</summary>
    public double Useful { get; internal set; }

    /// <summary>Share in which processes stood still for checkpoints.</summary>
    public double Suspended { get; internal set; }

    /// <summary>Share of work that rollbacks undid.</summary>
    public double Lost { get; internal set; }

    /// <summary>Share in which processes had failed or were being restarted.</summary>
    public double Down { get; internal set; }

    /// <summary>Failures of nodes.</summary>
    public long Failures { get; internal set; }

    /// <summary>Recoveries: failures that overlap share one.</summary>
    public long Recoveries { get; internal set; }

    /// <summary>Rollbacks of processes.</summary>
    public long Rollbacks { get; internal set; }

    /// <summary>Checkpoints that rollbacks undid, the one gone back to not counted.</summary>
    public long CheckpointsUndone { get; internal set; }

    /// <summary>The most checkpoints that one rollback undid.</summary>
    public long FarthestRollback { get; internal set; }

    /// <summary>Processes that had to begin anew although they had taken checkpoints.</summary>
    public long Domino { get; internal set; }

    /// <summary>Messages replayed from channel logs.</summary>
    public long Replayed { get; internal set; }

    /// <summary>Mean seconds from a checkpoint's end until it is durable.</summary>
    public double WriteMean { get; internal set; }

    /// <summary>The longest of them.</summary>
    public double WriteMax { get; internal set; }

    /// <summary>The most checkpoints written at a time.</summary>
    public int WritersMax { get; internal set; }
}
