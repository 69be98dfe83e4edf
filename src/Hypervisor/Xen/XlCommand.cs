using System.Diagnostics;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Runs <c>xl</c>, the toolstack's own program: what it knows of a domain (libxl's configuration, devices,
/// hotplug scripts) has no interface that stays the same from release to release but this one.</summary>
internal static class XlCommand
{
    private const string Program = "xl";

    /// <summary>Runs a command to its end.</summary>
    /// <param name="arguments">The arguments.</param>
    /// <returns>What it printed on its standard output.</returns>
    /// <exception cref="HypervisorException">It is not there, or ended with an error.</exception>
    internal static string Run(params string[] arguments)
    {
        using Process process = Start(arguments);
        process.StandardInput.Close();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw Failed(arguments, process.ExitCode, errors.GetAwaiter().GetResult());
        }

        return output;
    }

    /// <summary>Starts a command with its three standard streams connected to this process.</summary>
    /// <param name="arguments">The arguments.</param>
    /// <exception cref="HypervisorException">It is not there.</exception>
    internal static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments)
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
        new($"'xl {string.Join(' ', arguments)}' ended with exit code {exitCode}: {Last(errors)}");

    // xl prints the cause first and what followed from it last; the first lines tell most.
    private static string Last(string errors)
    {
        string[] lines = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return lines.Length == 0 ? "it said nothing." : string.Join(" | ", lines.Take(6));
    }
}
