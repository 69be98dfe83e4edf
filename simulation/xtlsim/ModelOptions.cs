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
    private const string RecordedInterval = "recorded";

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
        Description = "Instead of --basic: time between ticks, such as 10s, exponential:10s or jittered:10s,0.1; or "
            + "'recorded' for the basic checkpoints of --from-trace.",
        HelpName = "DISTRIBUTION",
    };

    private readonly Option<string> _workload = new("--workload")
    {
        Description = string.Join(", ", Workload.Names.Select(entry => entry.Name)),
        DefaultValueFactory = _ => "uniform",
    };

    private readonly Option<string?> _fromTrace = new("--from-trace")
    {
        Description = "A recorded trace, whose messages are the workload trace: its nodes are the VMs, one on each node "
            + "unless --vms-per-node says otherwise; --events cuts it; --gap spreads it over time.",
        HelpName = "FILE",
    };

    private readonly Dictionary<string, Recording> _recordings = [];

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
            _protocol, _vms, _vmsPerNode, _flat, _events, _basic, _interval, _workload, _fromTrace, _local, _probability, _gap, _delay,
            _localDelay,
        })
        {
            command.Add(option);
        }
    }

    /// <summary>True where a recorded trace was given.</summary>
    internal bool HasTrace(ParseResult result) => result.GetValue(_fromTrace) is not null;

    /// <summary>The run that the options describe.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="kind">The workload, instead of what the options say.</param>
    /// <exception cref="SettingsException">A value is out of range.</exception>
    /// <exception cref="FormatException">A value cannot be read.</exception>
    internal RunSettings Settings(ParseResult result, ulong seed, WorkloadKind? kind = null)
    {
        double? local = result.GetValue(_local);
        WorkloadKind named = kind ?? Named(result, local);
        Recording? recording = named == WorkloadKind.Recorded ? Recorded(result) : null;
        var workload = new Workload
        {
            Kind = named,
            Recording = recording,
            Probability = local ?? result.GetValue(_probability),
            Gap = Distribution.Parse(result.GetValue(_gap)!),
            Delay = Distribution.Parse(result.GetValue(_delay)!),
            LocalDelay = Distribution.Parse(result.GetValue(_localDelay)!),
        };
        workload.Validate();
        long count = recording is not null && !IsGiven(result, _events) ? recording.Events : result.GetValue(_events);
        if (count < 1)
        {
            throw recording is null || IsGiven(result, _events)
                ? new SettingsException($"--events {count}: there has to be at least 1")
                : new InvalidDataException($"{result.GetValue(_fromTrace)} has no message");
        }

        Topology topology = recording is null || IsGiven(result, _vms)
            ? new Topology(result.GetValue(_vms), result.GetValue(_vmsPerNode))
            : new Topology(recording.Vms, IsGiven(result, _vmsPerNode) ? result.GetValue(_vmsPerNode) : 1);
        if (recording is not null && recording.Vms != topology.Vms)
        {
            throw new SettingsException(
                $"--vms {topology.Vms}: the trace has {recording.Vms} nodes; leave --vms out");
        }

        bool recordedTicks = result.GetValue(_interval) == RecordedInterval;
        if (recordedTicks && recording is null)
        {
            throw new SettingsException("--interval recorded needs the workload trace; give --from-trace FILE");
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
                    RecordedTicks = recordedTicks,
                    Interval = recordedTicks ? new LaneSettings().Interval : Interval(result, workload, topology, count, seed),
                    ControlDelay = workload.Delay,
                },
            ],
        };
    }

    private static bool IsGiven(ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };

    private static Option<string> Time(string name, string value, string description) => new(name)
    {
        Description = $"{description} constant:T, exponential:T, jittered:T,J, pareto:T,A, weibull:T,K or lognormal:T,S.",
        HelpName = "DISTRIBUTION",
        DefaultValueFactory = _ => value,
    };

    // --local and --from-trace name their workload, so that --workload may be missing.
    private WorkloadKind Named(ParseResult result, double? local)
    {
        WorkloadKind? said = IsGiven(result, _workload) ? Workload.KindOf(result.GetValue(_workload)!) : null;
        if (HasTrace(result))
        {
            return local is null && said is null or WorkloadKind.Recorded
                ? WorkloadKind.Recorded
                : throw new SettingsException("--from-trace is the workload; --local and --workload exclude it");
        }

        return local is not null ? WorkloadKind.Local : said ?? WorkloadKind.Uniform;
    }

    private Recording Recorded(ParseResult result)
    {
        string path = result.GetValue(_fromTrace)
            ?? throw new SettingsException("the workload trace needs --from-trace FILE");

        // A study asks for each of its jobs, from several threads.
        lock (_recordings)
        {
            if (!_recordings.TryGetValue(path, out Recording? recording))
            {
                using FileStream stream = File.OpenRead(path);
                recording = Recording.Read(stream);
                _recordings.Add(path, recording);
            }

            return recording;
        }
    }

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
