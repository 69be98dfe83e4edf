using System.CommandLine;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Control.Checkpoints;
using XenTwoLevelCkpt.Control.Clusters;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Devices;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Rpc;

namespace XenTwoLevelCkpt.Control;

/// <summary>The command line of <c>xtlctl</c>.</summary>
/// <param name="openHypervisor">Connects to the hypervisor; called by the commands that need one.</param>
/// <param name="output">Receives results.</param>
/// <param name="error">Receives messages and progress.</param>
internal sealed class App(Func<IHypervisor> openHypervisor, TextWriter output, TextWriter error)
{
    /// <summary>Runs one command.</summary>
    /// <param name="args">The command line.</param>
    /// <returns>One of <see cref="ExitCodes"/>.</returns>
    internal async Task<int> RunAsync(string[] args)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var state = new Option<string>("--state")
        {
            Description = "The directory for this host's own state.",
            HelpName = "DIR",
            DefaultValueFactory = _ => Places.DefaultState,
            Recursive = true,
        };
        var link = new DaemonLink();
        var domains = new Command("domains", "List the domains of this host.") { json };
        domains.SetAction((r, cancellation) => link.Open(r, reads: true) is { } daemon
            ? new DaemonCommands(daemon, output).DomainsAsync(r.GetValue(json), cancellation)
            : Task.FromResult(DomainsCommand.Run(openHypervisor, output, r.GetValue(json))));

        var root = new RootCommand("Checkpoints of virtual machines on Xen.")
        {
            state, domains, DomainCommand.Make(link, json, output, error), DirtyCommand(json), NodeCommand(link, json), EventsCommand(link, json),
        };
        new CheckpointCommands(openHypervisor, link, state, json, output, error)
        {
            Disks = (_, _, places) => new XenDiskProvider(DeviceMapper.Open, new DiskRegistry(places.State)),
            DiskRestorer = (store, places) =>
                new XenDiskRestorer(DeviceMapper.Open, new DiskRegistry(places.State), store),
        }.AddTo(root);
        root.Add(DiskCommand.Make(state, output, error));
        root.Add(ClusterCommand.Make(output, error));
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var problem in parsed.Errors)
            {
                await error.WriteLineAsync($"xtlctl: {problem.Message}").ConfigureAwait(false);
            }

            await error.WriteLineAsync("'xtlctl --help' lists the commands, 'xtlctl COMMAND --help' their options.")
                .ConfigureAwait(false);
            return ExitCodes.Usage;
        }

        var invocation = new InvocationConfiguration
        {
            Output = output,
            Error = error,
            EnableDefaultExceptionHandler = false,
            // A dirty log that is on has to be switched off before the process ends.
            ProcessTerminationTimeout = TimeSpan.FromSeconds(10),
        };
        try
        {
            return await parsed.InvokeAsync(invocation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return ExitCodes.Interrupted;
        }
        catch (Exception e) when (e is CheckpointNotFoundException or CheckpointFailedException or IOException
            or ImageException or InvalidDataException or ChainBrokenException or TraceException or ArgumentException
            or UnauthorizedAccessException)
        {
            await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            return e switch
            {
                CheckpointNotFoundException or DirectoryNotFoundException or FileNotFoundException => ExitCodes.NotFound,
                StoreLockedException or StateLockedException => ExitCodes.Busy,
                ImageException or InvalidDataException or ChainBrokenException or TraceException => ExitCodes.Damaged,
                CheckpointFailedException { InnerException: DirtyLogBusyException } => ExitCodes.Busy,
                _ => ExitCodes.Failure,
            };
        }
        catch (StatusException e)
        {
            await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            return ExitCodes.Of(e);
        }
        catch (HypervisorException e)
        {
            await error.WriteLineAsync($"xtlctl: {e.Message}").ConfigureAwait(false);
            return e switch
            {
                HypervisorUnavailableException => ExitCodes.Unavailable,
                DomainNotFoundException => ExitCodes.NotFound,
                DirtyLogBusyException => ExitCodes.Busy,
                _ => ExitCodes.Failure,
            };
        }
    }

    private Command NodeCommand(DaemonLink link, Option<bool> json)
    {
        var command = new Command("node", "Show what this host's daemon is doing, its indexes and its links.") { json };
        command.SetAction((r, cancellation) =>
            new DaemonCommands(link.Require(r), output).NodeAsync(r.GetValue(json), cancellation));
        return command;
    }

    private Command EventsCommand(DaemonLink link, Option<bool> json)
    {
        var after = new Option<ulong?>("--after")
        {
            Description = "Begin behind the event of this number, as far as the daemon keeps them; 0 for all that it keeps.",
            HelpName = "N",
        };
        var command = new Command("events", "Print what happens on this host's daemon, until interrupted.") { after, json };
        command.SetAction((r, cancellation) =>
            new DaemonCommands(link.Require(r), output).EventsAsync(r.GetValue(after), r.GetValue(json), cancellation));
        return command;
    }

    private Command DirtyCommand(Option<bool> json)
    {
        var domain = new Argument<string>("DOMAIN") { Description = "Name, id or UUID of a domain." };
        var duration = new Option<TimeSpan>("--for")
        {
            Description = "How long to sample.",
            HelpName = "5s",
            CustomParser = Arguments.Duration,
            DefaultValueFactory = _ => TimeSpan.FromSeconds(5),
        };
        var interval = new Option<TimeSpan>("--every")
        {
            Description = "Time between samples.",
            HelpName = "200ms",
            CustomParser = Arguments.Duration,
            DefaultValueFactory = _ => TimeSpan.FromMilliseconds(200),
        };
        var command = new Command(
            "dirty",
            "Measure how fast a domain writes its memory: dirty pages a sample, distinct pages, and how fast they "
            + "can be copied. Uses Xen's log-dirty mode and leaves it off.")
        {
            domain, duration, interval, json,
        };
        command.SetAction((result, cancellation) => new DirtyCommand(openHypervisor, output).RunAsync(
            result.GetRequiredValue(domain), result.GetValue(duration), result.GetValue(interval),
            result.GetValue(json), cancellation));
        return command;
    }
}
