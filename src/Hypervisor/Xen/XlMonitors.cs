using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Processes;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>
/// The processes of <c>xl</c> that wait for domains to end, and do what <c>on_reboot</c>, <c>on_crash</c> and <c>on_poweroff</c> say.
/// One stays behind each <c>xl create</c> and <c>xl restore</c>.
/// </summary>
/// <remarks>xl takes a suspension for an end: <c>handle_domain_death</c> in <c>tools/xl/xl_vmcontrol.c</c> has nothing to restart
/// then, and the process exits, so that the guest's next reboot only leaves a domain that is shut down (Xen 4.17 to 4.20).
/// libxl looks at the domain when xenstored tells it that one went down; a process that is stopped looks when it goes on, and
/// finds a domain that runs.</remarks>
internal static class XlMonitors
{
    // Commands that stay behind, in the foreground with '-F', as under systemd. One that still builds its domain loses the time
    // that it is stopped, and nothing else.
    private static readonly string[] Staying = ["create", "restore", "migrate-receive"];

    /// <summary>Finds those that are not stopped.</summary>
    /// <param name="proc">Where the system's processes are; <c>/proc</c> but in tests.</param>
    internal static IReadOnlyList<ProcessIdentity> Find(string proc = "/proc")
    {
        var found = new List<ProcessIdentity>();
        foreach (string folder in Directory.EnumerateDirectories(proc))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int id)
                && Target($"{folder}/exe") is { } program && Path.GetFileName(program) is "xl" or "xl (deleted)"
                && ProcessIdentity.Of(id) is { IsStopped: false } process && (WritesLog(folder) || (Stays(folder) && !process.HasTerminal)))
            {
                found.Add(process);
            }
        }

        return found;
    }

    // One that has become a daemon writes to a log of its own (create_logfile: /var/log/xen/xl-DOMAIN.log).
    private static bool WritesLog(string folder) =>
        Target($"{folder}/fd/1") is { } output && Path.GetFileName(output) is var name
        && name.StartsWith("xl-", StringComparison.Ordinal) && name.EndsWith(".log", StringComparison.Ordinal);

    // The first argument that is no option of xl itself. 'xl list' and the like end by themselves.
    private static bool Stays(string folder)
    {
        try
        {
            string? command = File.ReadAllText($"{folder}/cmdline").Split('\0').Skip(1)
                .FirstOrDefault(a => !a.StartsWith('-'));
            return Staying.Contains(command, StringComparer.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static string? Target(string link)
    {
        try
        {
            return new FileInfo(link).LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended meanwhile, or is the kernel's.
            return null;
        }
    }
}
