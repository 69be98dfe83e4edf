using System.ComponentModel;
using System.Diagnostics;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Runs programs of the system. Never while a domain is suspended: a process costs a tenth of a second and more
/// on a busy Dom0.</summary>
internal static class Tool
{
    /// <summary>Runs a program and reads what it prints.</summary>
    /// <param name="package">The Debian package that has it, for the message where it is missing.</param>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments, as they are.</param>
    /// <param name="read">Reads its output while it runs; not called to the end where it throws.</param>
    /// <exception cref="DiskException">The program is missing or failed; the message has what it printed.</exception>
    internal static T Run<T>(string package, string program, string[] arguments, Func<Stream, T> read)
    {
        var start = new ProcessStartInfo(program)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Array.ForEach(arguments, start.ArgumentList.Add);
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new DiskException(
                $"'{program}' could not be started ({e.Message}); the package {package} has it.", e);
        }

        using (process)
        {
            Task<string> errors = process.StandardError.ReadToEndAsync();
            T? result = default;
            Exception? failure = null;
            try
            {
                result = read(process.StandardOutput.BaseStream);
            }
            catch (Exception e) when (e is DiskException or IOException)
            {
                failure = e;
            }

            // A program whose output nobody reads any more would wait for ever.
            process.StandardOutput.Close();
            process.WaitForExit();
            string message = errors.GetAwaiter().GetResult().Trim();
            if (process.ExitCode != 0)
            {
                throw new DiskException(
                    $"'{program} {string.Join(' ', arguments)}' failed with exit code {process.ExitCode}: {message}",
                    failure);
            }

            return failure is null ? result! : throw failure;
        }
    }

    /// <summary>Runs a program and returns what it prints.</summary>
    internal static string Run(string package, string program, params string[] arguments) => Run(
        package, program, arguments, output => new StreamReader(output).ReadToEnd().Trim());
}
