using System.Globalization;
using System.Runtime.InteropServices;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Processes;

/// <summary>A process, known by more than its number: that of one that has ended is given to another.</summary>
/// <param name="Id">Its number.</param>
/// <param name="StartTime">When it started, in clock ticks since the boot (<c>starttime</c> of proc_pid_stat(5)).</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct ProcessIdentity(int Id, ulong StartTime)
{
    // Fields of /proc/PID/stat behind the name, which is in parentheses and may have any octet: state is the first.
    [NotInC("The order of fields of proc_pid_stat(5), a text.")]
    private const int StateField = 0;
    [NotInC("The order of fields of proc_pid_stat(5), a text.")]
    private const int TerminalField = 4;
    [NotInC("The order of fields of proc_pid_stat(5), a text.")]
    private const int StartTimeField = 19;

    /// <summary>Reads who a process is.</summary>
    /// <param name="id">Its number.</param>
    /// <returns>Null where there is none, or it has ended and nobody has taken note.</returns>
    public static ProcessIdentity? Of(int id) =>
        Fields(id) is { } fields && fields[StateField] is not ("Z" or "X")
            ? new ProcessIdentity(id, ulong.Parse(fields[StartTimeField], CultureInfo.InvariantCulture))
            : null;

    /// <summary>True where it is stopped (SIGSTOP), or traced.</summary>
    public bool IsStopped => IsThere && Fields(Id)?[StateField] is "T" or "t";

    /// <summary>True where it has a terminal: whoever sits there would see it stop.</summary>
    public bool HasTerminal => IsThere && Fields(Id)?[TerminalField] is not (null or "0");

    private bool IsThere => Of(Id) == this;

    /// <summary>Stops it. Its parent is told, which may be a shell that says so.</summary>
    /// <returns>False where it is gone, or may not be stopped by this process.</returns>
    public bool Stop() => Send(LibC.SIGSTOP);

    /// <summary>Lets it go on.</summary>
    /// <returns>False where it is gone.</returns>
    public bool Continue() => Send(LibC.SIGCONT);

    private bool Send(int signal) => IsThere && LibC.kill(Id, signal) == 0;

    private static string[]? Fields(int id)
    {
        try
        {
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/stat"));
            return stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (IOException)
        {
            // Gone: before it was opened, or while it was read (ESRCH).
            return null;
        }
    }
}
