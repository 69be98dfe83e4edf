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
    /// <summary>Finds those that are not stopped.</summary>
    /// <param name="proc">Where the system's processes are; <c>/proc</c> but in tests.</param>
    internal static IReadOnlyList<ProcessIdentity> Find(string proc = "/proc")
    {
        var found = new List<ProcessIdentity>();
        foreach (string folder in Directory.EnumerateDirectories(proc))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int id)
                && IsMonitor(folder) && ProcessIdentity.Of(id) is { IsStopped: false } process)
            {
                found.Add(process);
            }
        }

        return found;
    }

    // Of all programs named xl, those that wait have become daemons, which write to a log of their own
    // (create_logfile: /var/log/xen/xl-DOMAIN.log). 'xl list' and the like end by themselves.
    private static bool IsMonitor(string folder) =>
        Target($"{folder}/exe") is { } program && Path.GetFileName(program) is "xl" or "xl (deleted)"
        && Target($"{folder}/fd/1") is { } output && Path.GetFileName(output) is var name
        && name.StartsWith("xl-", StringComparison.Ordinal) && name.EndsWith(".log", StringComparison.Ordinal);

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
