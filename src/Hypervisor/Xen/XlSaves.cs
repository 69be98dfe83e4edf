using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>The saves and migrations by libxl that ran on this host at one moment.</summary>
/// <remarks>libxl leaves no trace of one in xenstore, and holds no lock meanwhile. It runs a helper process for each, whose
/// arguments name the domain (<c>run_helper</c> in <c>libxl_save_callout.c</c>):
/// <c>libxl-save-helper --save-domain FD FD DOMID FLAGS ...</c>.</remarks>
internal sealed class XlSaves
{
    private const string Helper = "libxl-save-helper";
    private const string Mode = "--save-domain";
    private const int DomidArgument = 4;
    private const int FlagsArgument = 5;

    /// <summary><c>XCFLAGS_LIVE</c>: the guest runs on until most of it is sent.</summary>
    private const int Live = 1;

    /// <summary>The longest name of a process that Linux keeps in <c>comm</c>.</summary>
    private const int CommLength = 15;

    /// <summary>One look serves the domains of a node that are asked to suspend together: to go through all processes for each
    /// would keep those waiting that have suspended already.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromMilliseconds(100);

    private static XlSaves? _recent;

    private readonly string _proc;
    private readonly long _taken;
    private readonly int _lastProcess;
    private readonly HashSet<int> _domains = [];

    /// <summary>Looks at all processes.</summary>
    /// <param name="proc">The process file system.</param>
    internal XlSaves(string proc = "/proc")
    {
        _proc = proc;
        _taken = Stopwatch.GetTimestamp();
        _lastProcess = LastProcess();
        foreach (string process in Directory.EnumerateDirectories(proc))
        {
            if (char.IsAsciiDigit(Path.GetFileName(process)[0]) && SavedBy(process) is { } save)
            {
                _ = _domains.Add(save.Domid);
            }
        }
    }

    /// <summary>What ran a moment ago at most.</summary>
    internal static XlSaves Recent()
    {
        XlSaves? recent = Volatile.Read(ref _recent);
        if (recent is null || Stopwatch.GetElapsedTime(recent._taken) > Fresh)
        {
            Volatile.Write(ref _recent, recent = new XlSaves());
        }

        return recent;
    }

    /// <summary>True where a domain was being saved or migrated.</summary>
    internal bool Include(int domid) => _domains.Contains(domid);

    /// <summary>True where a save of a domain has begun since that suspends it at once. A live one has all of its memory
    /// to send before.</summary>
    internal bool HasBegunSince(int domid)
    {
        // Linux numbers processes in the order in which they begin, and begins anew at the end: then all are looked at.
        int last = LastProcess();
        if (last < _lastProcess)
        {
            return !Include(domid) && new XlSaves(_proc).Include(domid);
        }

        for (int process = _lastProcess + 1; process <= last; process++)
        {
            if (SavedBy(Path.Combine(_proc, process.ToString(CultureInfo.InvariantCulture))) is { IsLive: false } save
                && save.Domid == domid)
            {
                return true;
            }
        }

        return false;
    }

    // proc(5): the last field of loadavg is the number of the process that began last.
    private int LastProcess()
    {
        string load = File.ReadAllText(Path.Combine(_proc, "loadavg"));
        return int.Parse(load.AsSpan(load.LastIndexOf(' ') + 1).TrimEnd(), NumberStyles.None, CultureInfo.InvariantCulture);
    }

    // Processes end while they are looked at.
    private static (int Domid, bool IsLive)? SavedBy(string process)
    {
        try
        {
            string comm = Path.Combine(process, "comm");
            if (!File.Exists(comm) || File.ReadAllText(comm).TrimEnd('\n') != Helper[..CommLength])
            {
                return null;
            }

            string[] arguments = Encoding.ASCII.GetString(File.ReadAllBytes(Path.Combine(process, "cmdline"))).Split('\0');
            return arguments.Length > FlagsArgument && arguments[1] == Mode
                && int.TryParse(arguments[DomidArgument], NumberStyles.None, CultureInfo.InvariantCulture, out int domid)
                && int.TryParse(arguments[FlagsArgument], NumberStyles.None, CultureInfo.InvariantCulture, out int flags)
                ? (domid, (flags & Live) != 0)
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
