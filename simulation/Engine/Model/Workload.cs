namespace XenTwoLevelCkpt.Simulation.Model;

/// <summary>Who sends to whom.</summary>
public enum WorkloadKind
{
    /// <summary>To any other VM, all alike: the symmetric processes of the paper's Figure 5.</summary>
    Uniform,

    /// <summary>To a VM of the same node with probability p, else to one of another node: the paper's group BCS has
    /// p = 0.5.</summary>
    Local,

    /// <summary>To the next VM.</summary>
    Ring,

    /// <summary>To the four neighbours on a torus, in turn.</summary>
    Halo,

    /// <summary>Clients ask one of the servers (each tenth VM, spread over the nodes), which answers after a time of
    /// service.</summary>
    ClientServer,

    /// <summary>VM 0 hands tasks to the others, which answer when done and get the next.</summary>
    MasterWorker,

    /// <summary>Phases: everybody sends to everybody in a burst, then computes.</summary>
    AllToAll,

    /// <summary>To VM 0 with probability p, else to any other VM.</summary>
    HotSpot,

    /// <summary>As in a recorded trace.</summary>
    Recorded,
}

/// <summary>A workload: who sends to whom, how often, and how long messages travel.</summary>
public sealed record Workload
{
    /// <summary>Who sends to whom.</summary>
    public WorkloadKind Kind { get; init; } = WorkloadKind.Uniform;

    /// <summary>p of <see cref="WorkloadKind.Local"/> and <see cref="WorkloadKind.HotSpot"/>, from 0 to 1.</summary>
    public double Probability { get; init; } = 0.5;

    /// <summary>From one message of a VM to its next: for clients between requests, for servers and workers the time of
    /// service.</summary>
    public Random.Distribution Gap { get; init; } = new(Random.DistributionKind.Exponential, 1);

    /// <summary>From sending to delivery between nodes.</summary>
    public Random.Distribution Delay { get; init; } = new(Random.DistributionKind.Exponential, 0.001);

    /// <summary>From sending to delivery inside a node.</summary>
    public Random.Distribution LocalDelay { get; init; } = new(Random.DistributionKind.Exponential, 0.0001);

    /// <summary>What was recorded, for <see cref="WorkloadKind.Recorded"/>. Its events are spread over time so that a VM
    /// sends one message a mean <see cref="Gap"/>; where checkpoints take no time deliveries are in the recorded order,
    /// else they come after <see cref="Delay"/>.</summary>
    public Recording? Recording { get; init; }

    /// <summary>The names of the kinds on command lines.</summary>
    public static IReadOnlyList<(string Name, WorkloadKind Kind)> Names { get; } =
    [
        ("uniform", WorkloadKind.Uniform), ("local", WorkloadKind.Local), ("ring", WorkloadKind.Ring),
        ("halo", WorkloadKind.Halo), ("client-server", WorkloadKind.ClientServer),
        ("master-worker", WorkloadKind.MasterWorker), ("all-to-all", WorkloadKind.AllToAll),
        ("hot-spot", WorkloadKind.HotSpot), ("trace", WorkloadKind.Recorded),
    ];

    /// <summary>The kind of a name.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <exception cref="FormatException">There is none of that name.</exception>
    public static WorkloadKind KindOf(string name)
    {
        foreach ((string known, WorkloadKind kind) in Names)
        {
            if (string.Equals(known, name, StringComparison.OrdinalIgnoreCase))
            {
                return kind;
            }
        }

        throw new FormatException(
            $"no workload is called '{name}'; there are {string.Join(", ", Names.Select(entry => entry.Name))}");
    }

    /// <summary>The name of a kind.</summary>
    /// <param name="kind">The kind.</param>
    public static string NameOf(WorkloadKind kind) => Names.First(entry => entry.Kind == kind).Name;

    /// <summary>Checks the numbers.</summary>
    /// <exception cref="SettingsException">One is out of range.</exception>
    public void Validate()
    {
        if (!(Probability is >= 0 and <= 1))
        {
            throw new SettingsException($"a probability of {Probability} is not between 0 and 1");
        }

        if (Gap.Mean <= 0)
        {
            throw new SettingsException("the mean time between messages has to be above 0");
        }

        if ((Kind == WorkloadKind.Recorded) != (Recording is not null))
        {
            throw new SettingsException("the workload trace and a recorded trace need each other");
        }
    }
}
