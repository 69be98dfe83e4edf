using System.Globalization;
using System.Text;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Saves and migrations by libxl that run on this host.</summary>
/// <remarks>libxl leaves no trace of one in xenstore, and holds no lock meanwhile. It runs a helper process for each, whose
/// arguments name the domain (<c>run_helper</c> in <c>libxl_save_callout.c</c>):
/// <c>libxl-save-helper --save-domain FD FD DOMID FLAGS ...</c>.</remarks>
internal static class XlSaves
{
    private const string Helper = "libxl-save-helper";
    private const string Mode = "--save-domain";
    private const int DomidArgument = 4;

    /// <summary>The longest name of a process that Linux keeps in <c>comm</c>.</summary>
    private const int CommLength = 15;

    /// <summary>True where a domain is being saved or migrated.</summary>
    /// <param name="domid">Its id.</param>
    /// <param name="proc">The process file system.</param>
    internal static bool IsSaving(int domid, string proc = "/proc")
    {
        foreach (string process in Directory.EnumerateDirectories(proc))
        {
            if (char.IsAsciiDigit(Path.GetFileName(process)[0]) && SavedBy(process) == domid)
            {
                return true;
            }
        }

        return false;
    }

    // The domain that a process saves, or -1. Processes end while they are looked at.
    private static int SavedBy(string process)
    {
        try
        {
            if (File.ReadAllText(Path.Combine(process, "comm")).TrimEnd('\n') != Helper[..CommLength])
            {
                return -1;
            }

            string[] arguments = Encoding.ASCII.GetString(File.ReadAllBytes(Path.Combine(process, "cmdline"))).Split('\0');
            return arguments.Length > DomidArgument && arguments[1] == Mode
                && int.TryParse(arguments[DomidArgument], NumberStyles.None, CultureInfo.InvariantCulture, out int domid)
                ? domid
                : -1;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return -1;
        }
    }
}
