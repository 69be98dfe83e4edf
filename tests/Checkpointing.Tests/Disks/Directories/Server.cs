using System.Diagnostics;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks.Directories;

/// <summary>A process that has an exported directory open and goes on with files that it has open, as the 9pfs server of a
/// guest does: a shell that does what it is told.</summary>
/// <remarks>No child of this process: the runtime takes a child that was held for one that has ended.</remarks>
internal sealed class Server : IDisposable
{
    private readonly Process _shell;
    private readonly int _pid;
    private bool _ended;

    internal Server(string export)
    {
        _shell = Process.Start(new ProcessStartInfo("/usr/bin/setsid", ["--fork", "/bin/bash", "--norc"])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            WorkingDirectory = "/",
        })!;
        _pid = int.Parse(Do("echo $$"), System.Globalization.CultureInfo.InvariantCulture);
        _ = Do($"exec 3<{export}");
    }

    internal int Pid => _pid;

    /// <summary>Runs a command and returns what it prints.</summary>
    internal string Do(string command)
    {
        _shell.StandardInput.WriteLine($"{command}; echo '---'");
        _shell.StandardInput.Flush();
        var output = new System.Text.StringBuilder();
        while (_shell.StandardOutput.ReadLine() is { } line && line != "---")
        {
            output.Append(line).Append('\n');
        }

        return output.ToString();
    }

    /// <summary>Begins a command that does not end.</summary>
    internal void Begin(string command)
    {
        _shell.StandardInput.WriteLine(command);
        _shell.StandardInput.Flush();
    }

    public void Dispose()
    {
        if (!_ended)
        {
            _ended = true;

            using Process kill = Process.Start("/bin/kill", ["-9", $"{_pid}"]);
            kill.WaitForExit();
            _ = _shell.StandardOutput.ReadToEnd();
            _shell.Dispose();
        }
    }
}
