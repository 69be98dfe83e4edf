using System.CommandLine;
using XenTwoLevelCkpt.Simulation;
using XenTwoLevelCkpt.Simulation.Model;
using XenTwoLevelCkpt.Simulation.Random;

namespace XenTwoLevelCkpt.Simulator;

/// <summary>The options that describe a system, its workload and its checkpoints.</summary>
/// <param name="vms">VMs where nothing is said.</param>
/// <param name="events">Events where nothing is said.</param>
internal sealed class ModelOptions(int vms = 1000, long events = 10_000)
{
    private readonly Option<string> _protocol = new("--protocol")
    {
        Description = "The protocol.",
        DefaultValueFactory = _ => "bcs",
    };

    private readonly Option<int> _vms = new("--vms") { Description = "VMs.", DefaultValueFactory = _ => vms };

    private readonly Option<int> _vmsPerNode = new("--vms-per-node")
    {
        Description = "VMs on a node.",
        DefaultValueFactory = _ => 8,
    };

    private readonly Option<bool> _flat = new("--flat")
    {
        Description = "Every VM is a process of the protocol, instead of every node.",
    };

    private readonly Option<long> _events = new("--events")
    {
        Description = "Sends and deliveries in the whole system after which a run ends.",
        DefaultValueFactory = _ => events,
    };

    private readonly Option<double> _basic = new("--basic")
    {
        Description = "Basic checkpoints of a process in a run.",
        DefaultValueFactory = _ => 100,
    };

    private readonly Option<string?> _interval = new("--interval")
    {
        Description = "Instead of --basic: time between ticks, such as 10s, exponential:10s or jittered:10s,0.1.",
        HelpName = "DISTRIBUTION",
    };

    private readonly Option<string> _workload = new("--workload")
    {
        Description = string.Join(", ", Workload.Names.Select(entry => entry.Name)),
        DefaultValueFactory = _ => "uniform",
    };

    private readonly Option<double?> _local = new("--local")
    {
        Description = "Part of the messages that stay inside the node; the same as --workload local --probability P.",
        HelpName = "P",
    };

    private readonly Option<double> _probability = new("--probability")
    {
        Description = "p of the workloads local and hot-spot.",
        DefaultValueFactory = _ => 0.5,
    };

    private readonly Option<string> _gap = Time("--gap", "exponential:1s", "From one message of a VM to the next.");
    private readonly Option<string> _delay = Time("--delay", "exponential:1ms", "From sending to delivery between nodes.");
    private readonly Option<string> _localDelay = Time("--local-delay", "exponential:100us", "The same inside a node.");

    /// <summary>Adds the options.</summary>
    /// <param name="command">To which command.</param>
    internal void AddTo(Command command)
    {
        foreach (Option option in new Option[]
        {
            _protocol, _vms, _vmsPerNode, _flat, _events, _basic, _interval, _workload, _local, _probability, _gap, _delay,
            _localDelay,
        })
        {
            command.Add(option);
        }
    }

    /// <summary>The run that the options describe.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="kind">The workload, instead of what the options say.</param>
    /// <exception cref="SettingsException">A value is out of range.</exception>
    /// <exception cref="FormatException">A value cannot be read.</exception>
    internal RunSettings Settings(ParseResult result, ulong seed, WorkloadKind? kind = null)
    {
        double? local = result.GetValue(_local);
        var workload = new Workload
        {
            Kind = kind is { } given ? given : local is null ? Workload.KindOf(result.GetValue(_workload)!) : WorkloadKind.Local,
            Probability = local ?? result.GetValue(_probability),
            Gap = Distribution.Parse(result.GetValue(_gap)!),
            Delay = Distribution.Parse(result.GetValue(_delay)!),
            LocalDelay = Distribution.Parse(result.GetValue(_localDelay)!),
        };
        workload.Validate();
        var topology = new Topology(result.GetValue(_vms), result.GetValue(_vmsPerNode));
        long count = result.GetValue(_events);
        if (count < 1)
        {
            throw new SettingsException($"--events {count}: there has to be at least 1");
        }

        return new RunSettings
        {
            Topology = topology,
            Workload = workload,
            Events = count,
            Seed = seed,
            Lanes =
            [
                new LaneSettings
                {
                    Protocol = result.GetValue(_protocol)!,
                    Flat = result.GetValue(_flat),
                    Interval = Interval(result, workload, topology, count, seed),
                    ControlDelay = workload.Delay,
                },
            ],
        };
    }

    private static Option<string> Time(string name, string value, string description) => new(name)
    {
        Description = $"{description} constant:T, exponential:T, jittered:T,J, pareto:T,A, weibull:T,K or lognormal:T,S.",
        HelpName = "DISTRIBUTION",
        DefaultValueFactory = _ => value,
    };

    private Distribution Interval(
        ParseResult result, Workload workload, Topology topology, long count, ulong seed)
    {
        if (result.GetValue(_interval) is { } text)
        {
            return Distribution.Parse(text);
        }

        double basic = result.GetValue(_basic);
        if (!(basic is > 0 and < 1e9))
        {
            throw new SettingsException($"--basic {basic}: there have to be more than 0");
        }

        double duration = Traffic.DurationOf(workload, topology, seed, count) / 1e9;
        return new Distribution(DistributionKind.Jittered, duration / basic, 0.1);
    }
}
