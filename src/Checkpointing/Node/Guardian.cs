using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Hypervisor;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>A second process that stands by while the first works on domains: when that one ends, it undoes what that
/// one's record still names. A process that ends in order leaves no record; one that is killed leaves domains suspended
/// and dirty logs on.</summary>
public sealed class Guardian : IDisposable
{
    /// <summary>The program's argument that makes it a guardian: <c>PROGRAM guard --state DIR</c>.</summary>
    public const string Command = "guard";

    // SIGUSR1 of signal(7), which ends a program that does nothing about it. The unit's WatchdogSignal= sends it to a daemon that
    // hangs and to this process, which has to outlive that. SIGABRT would kill both, and SIGTERM waits for the one that hangs.
    private const PosixSignal EndsGuarded = (PosixSignal)10;

    private readonly Process _process;

    private Guardian(Process process) => _process = process;

    /// <summary>Starts the guardian of this process.</summary>
    /// <param name="state">The state directory.</param>
    /// <exception cref="IOException">There is no second process.</exception>
    public static Guardian Start(string state)
    {
        string self = Environment.ProcessPath ?? throw new InvalidOperationException("This program has no path.");
        var start = new ProcessStartInfo(self)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
        };

        // Started as 'dotnet PROGRAM.dll', the program is the host's first argument.
        if (Path.GetFileNameWithoutExtension(self) == "dotnet")
        {
            start.ArgumentList.Add(Path.Combine(
                AppContext.BaseDirectory, $"{Assembly.GetEntryAssembly()!.GetName().Name}.dll"));
        }

        start.ArgumentList.Add(Command);
        start.ArgumentList.Add("--state");
        start.ArgumentList.Add(state);
        return new Guardian(
            Process.Start(start) ?? throw new IOException("The guardian process could not be started."));
    }

    /// <summary>What the guardian process does.</summary>
    /// <param name="state">The state directory.</param>
    /// <param name="openHypervisor">Connects to the hypervisor.</param>
    /// <param name="input">Its standard input: ends when the process that it guards does.</param>
    /// <param name="say">Says what was done.</param>
    public static void Guard(string state, Func<IHypervisor> openHypervisor, TextReader input, Action<string> say)
    {
        ArgumentNullException.ThrowIfNull(openHypervisor);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(say);

        // Ctrl-C reaches both processes; the guarded one decides what it means.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c => c.Cancel = true);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c => c.Cancel = true);
        using var watchdog = PosixSignalRegistration.Create(EndsGuarded, c => c.Cancel = true);
        using var hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, c => c.Cancel = true);

        // Open before it is needed: then a resume takes one hypercall.
        using IHypervisor hypervisor = openHypervisor();
        _ = input.ReadToEnd();
        foreach (string line in NodeRecovery.Run(state, hypervisor, say))
        {
            say(line);
        }
    }

    /// <summary>Lets the guardian go, which looks at what is left to undo.</summary>
    public void Dispose()
    {
        try
        {
            _process.StandardInput.Close();
            _process.WaitForExit();
        }
        catch (IOException)
        {
            // It ended before this one did; there is nothing left for it to do.
        }

        _process.Dispose();
    }
}
