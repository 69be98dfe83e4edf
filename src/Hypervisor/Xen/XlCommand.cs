using System.Diagnostics;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Runs <c>xl</c>, the toolstack's own program: what it knows of a domain (libxl's configuration, devices,
/// hotplug scripts) has no interface that stays the same from release to release but this one.</summary>
internal static class XlCommand
{
    private const string Program = "xl";

    /// <summary>How long a command has. libxl itself waits 10 s for a device and 40 s for a hotplug script
    /// (<c>LIBXL_INIT_TIMEOUT</c>, <c>LIBXL_HOTPLUG_TIMEOUT</c>), some of them one after the other.</summary>
    internal static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    /// <summary>Lines of a command's errors that tell enough: libxl reports what failed, and then once more each step that
    /// failed for it.</summary>
    private const int Lines = 4;

    private static readonly string[] Alarms = ["error", "fail", "unable", "cannot", "could not", "invalid", "refused", "denied"];

    /// <summary>Runs a command to its end.</summary>
    /// <param name="arguments">The arguments.</param>
    /// <returns>What it printed on its standard output.</returns>
    /// <exception cref="HypervisorException">It is not there, ended with an error, or did not end in time and was ended.
    /// </exception>
    internal static string Run(params string[] arguments) => Run(Program, Limit, CancellationToken.None, arguments);

    /// <summary>Runs a command to its end, or until it is given up.</summary>
    /// <param name="cancellationToken">Ends the command.</param>
    /// <param name="arguments">The arguments.</param>
    /// <exception cref="OperationCanceledException">The token was cancelled, and the command ended.</exception>
    /// <inheritdoc cref="Run(string[])"/>
    internal static string Run(CancellationToken cancellationToken, params string[] arguments) =>
        Run(Program, Limit, cancellationToken, arguments);

    /// <summary>Runs a program to its end.</summary>
    /// <param name="program">The program.</param>
    /// <param name="limit">How long it has.</param>
    /// <param name="arguments">The arguments.</param>
    internal static string Run(string program, TimeSpan limit, params string[] arguments) =>
        Run(program, limit, CancellationToken.None, arguments);

    /// <summary>Runs a program to its end, or until it is given up.</summary>
    /// <param name="program">The program.</param>
    /// <param name="limit">How long it has.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <param name="arguments">The arguments.</param>
    internal static string Run(
        string program, TimeSpan limit, CancellationToken cancellationToken, params string[] arguments)
    {
        cancellationToken.ThrowIfCancellationRequested();
        using Process process = Start(program, arguments);
        process.StandardInput.Close();
        using var time = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        time.CancelAfter(limit);
        Task<string> errors = process.StandardError.ReadToEndAsync(time.Token);
        Task<string> output = process.StandardOutput.ReadToEndAsync(time.Token);
        try
        {
            // A process that it left behind may hold its output open: all three have to end.
            Task.WhenAll(errors, output, process.WaitForExitAsync(time.Token)).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            cancellationToken.ThrowIfCancellationRequested();
            throw TookTooLong(arguments, limit);
        }

        return process.ExitCode == 0
            ? output.GetAwaiter().GetResult()
            : throw Failed(arguments, process.ExitCode, errors.GetAwaiter().GetResult());
    }

    /// <summary>Starts a command with its three standard streams connected to this process.</summary>
    /// <param name="program">The program.</param>
    /// <param name="arguments">The arguments.</param>
    /// <exception cref="HypervisorException">It is not there.</exception>
    internal static Process Start(string program, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            return Process.Start(start) ?? throw new HypervisorException("xl could not be started.");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new HypervisorException(
                $"xl, Xen's toolstack program, could not be started ({e.Message}). It is in the package xen-utils.", e);
        }
    }

    /// <summary>What a command that failed tells.</summary>
    internal static HypervisorException Failed(IReadOnlyList<string> arguments, int exitCode, string errors) =>
        new($"'xl {string.Join(' ', arguments)}' ended with exit code {exitCode}: {Telling(errors)}");

    /// <summary>What is said of a command that does not end.</summary>
    internal static HypervisorException TookTooLong(IReadOnlyList<string> arguments, TimeSpan limit) => new(
        $"'xl {string.Join(' ', arguments)}' did not end within {limit.TotalSeconds:0} s, and was ended. Does xenstored answer "
        + "('xenstore-ls /local/domain/0')?");

    /// <summary>The lines that name the cause, and the last ones. What xl does right it tells first, among it all that it reads of
    /// a domain to be restored.</summary>
    internal static string Telling(string errors)
    {
        string[] lines = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (lines.Length == 0)
        {
            return "it said nothing.";
        }

        IEnumerable<int> alarms = Enumerable.Range(0, lines.Length)
            .Where(i => Alarms.Any(a => lines[i].Contains(a, StringComparison.OrdinalIgnoreCase))).Take(Lines);
        IEnumerable<int> last = Enumerable.Range(0, lines.Length).TakeLast(Lines);
        return string.Join(" | ", alarms.Union(last).Order().Select(i => lines[i]));
    }
}
