using System.CommandLine;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Settings;
using XenTwoLevelCkpt.Daemon;
using XenTwoLevelCkpt.Daemon.Service;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Xen;
using XenTwoLevelCkpt.Images.Store;

// sysexits.h, where one fits.
const int Ok = 0, Failure = 1, Usage = 64, Damaged = 65, Unavailable = 69, Busy = 75, Configuration = 78;

var config = new Option<string?>("--config")
{
    Description = $"The configuration; {HostPaths.Configuration} where it is left out and that file is there.",
    HelpName = "FILE",
};
Option<string?> node = Override("--node", "The node's name.", "NAME");
Option<string?> store = Override("--store", "The directory that keeps the checkpoints.", "DIR");
Option<string?> state = Override("--state", "The directory for this host's own state.", "DIR");
Option<string?> socket = Override("--socket", "The socket for operators.", "PATH");
var check = new Option<bool>("--check") { Description = "Only check the configuration." };
var root = new RootCommand("The checkpoint daemon of a Xen host.") { config, node, store, state, socket, check };
var guard = new Command(Guardian.Command, "Started by this program for itself.") { Hidden = true };
var guarded = new Option<string>("--state") { Required = true };
guard.Options.Add(guarded);
guard.SetAction(r => Guardian.Guard(
    r.GetRequiredValue(guarded), XenHypervisor.Open, Console.In, m => Console.Error.WriteLine(Journal.Line(LogLevel.Warning, $"xtlckptd: {m}"))));
root.Subcommands.Add(guard);
root.SetAction(RunAsync);
ParseResult parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var problem in parsed.Errors)
    {
        await Console.Error.WriteLineAsync($"xtlckptd: {problem.Message}").ConfigureAwait(false);
    }

    return Usage;
}

return await parsed.InvokeAsync(new InvocationConfiguration
{
    // What ends the daemon is its own business: a checkpoint has to be ended first.
    ProcessTerminationTimeout = null,
    EnableDefaultExceptionHandler = false,
}).ConfigureAwait(false);

static Option<string?> Override(string name, string description, string value) =>
    new(name) { Description = $"{description} Instead of what the configuration says.", HelpName = value };

async Task<int> RunAsync(ParseResult r)
{
    try
    {
        string? file = r.GetValue(config) ?? (File.Exists(HostPaths.Configuration) ? HostPaths.Configuration : null);
        NodeSettings settings = SettingsFile.Read(file, s => s with
        {
            Node = r.GetValue(node) ?? s.Node,
            Store = r.GetValue(store) is { } storePath ? Path.GetFullPath(storePath) : s.Store,
            State = r.GetValue(state) is { } statePath ? Path.GetFullPath(statePath) : s.State,
            ControlSocket = r.GetValue(socket) is { } socketPath ? Path.GetFullPath(socketPath) : s.ControlSocket,
        });
        if (r.GetValue(check))
        {
            Console.WriteLine($"{file ?? "the defaults"}: node {settings.Node}, nothing wrong");
            return Ok;
        }

        await ServeAsync(settings).ConfigureAwait(false);
        return Ok;
    }
    catch (Exception e) when (e is SettingsException or HypervisorException or IOException or InvalidDataException
        or UnauthorizedAccessException)
    {
        foreach (string line in e is SettingsException wrong ? wrong.Problems : [e.Message])
        {
            await Console.Error.WriteLineAsync(Journal.Line(LogLevel.Error, $"xtlckptd: {line}")).ConfigureAwait(false);
        }

        return e switch
        {
            SettingsException or FileNotFoundException or DirectoryNotFoundException => Configuration,
            HypervisorUnavailableException => Unavailable,
            StateLockedException or StoreLockedException or SocketInUseException => Busy,
            InvalidDataException => Damaged,
            _ => Failure,
        };
    }
}

static async Task ServeAsync(NodeSettings settings)
{
    var end = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    using PosixSignalRegistration terminate = On(PosixSignal.SIGTERM), interrupt = On(PosixSignal.SIGINT);
    using ServiceManager manager = ServiceManager.Start("Opens the hypervisor");
    using INodePlatform platform = settings.Hypervisor == HypervisorKind.Model
        ? new ModelPlatform(settings.Node, settings.Model, [.. settings.Nodes.Select(n => n.Name)])
        : new XenPlatform(settings.State);
    DaemonHost host = await DaemonHost.StartAsync(settings, platform, Log, configure: manager.Watch).ConfigureAwait(false);
    await using (host.ConfigureAwait(false))
    {
        manager.Enter(ServicePhase.Serving);
        await end.Task.ConfigureAwait(false);
        manager.Enter(ServicePhase.Stopping, "Stops");
        await host.StopAsync().ConfigureAwait(false);
    }

    PosixSignalRegistration On(PosixSignal signal) => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        _ = end.TrySetResult();
    });
}

// The journal knows the time, and takes levels from a prefix.
static void Log(ILoggingBuilder logging)
{
    _ = logging.SetMinimumLevel(LogLevel.Information).AddFilter("Microsoft", LogLevel.Warning);
    _ = !Journal.ReadsOutput
        ? logging.AddSimpleConsole(o =>
        {
            o.SingleLine = true;
            o.ColorBehavior = LoggerColorBehavior.Disabled;
            o.TimestampFormat = "yyyy-MM-dd HH:mm:ss.fff'Z' ";
            o.UseUtcTimestamp = true;
        })
        : logging.AddSystemdConsole();
}
