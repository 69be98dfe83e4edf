namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>What <c>xl</c> is set to do; xl.conf(5).</summary>
/// <param name="TakesFromDom0">True where <c>xl</c> makes Dom0 smaller for a domain (<c>autoballoon</c>).</param>
internal sealed record XlSettings(bool TakesFromDom0)
{
    private const string ConfigurationFile = "/etc/xen/xl.conf";

    // LIBXL_MIN_DOM0_MEM (libxl.h): libxl leaves Dom0 that much.
    private const long LeastDom0KiB = 131_072;

    /// <summary>Reads the settings of this host.</summary>
    /// <param name="commandLine">The hypervisor's.</param>
    internal static XlSettings Read(string commandLine)
    {
        try
        {
            return Of(File.ReadAllText(ConfigurationFile), commandLine);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Of("", commandLine);
        }
    }

    /// <summary>Reads settings.</summary>
    /// <param name="file">The text of xl.conf.</param>
    /// <param name="commandLine">The hypervisor's.</param>
    internal static XlSettings Of(string file, string commandLine)
    {
        // The last one of a name is in force.
        string? setting = file.Split('\n').Select(line => line.Split('#')[0].Split('=', 2))
            .LastOrDefault(pair => pair.Length == 2 && pair[0].Trim() == "autoballoon")?[1].Trim().Trim('"', '\'');
        return new XlSettings(setting switch
        {
            "on" or "1" => true,
            "off" or "0" => false,

            // Where Dom0's size was set it stays.
            _ => !commandLine.Split(' ').Any(word => word.StartsWith("dom0_mem=", StringComparison.Ordinal)),
        });
    }

    /// <summary>What Dom0 gives up at most.</summary>
    /// <param name="dom0KiB">What it has.</param>
    internal long GivenUpByDom0(long dom0KiB) => TakesFromDom0 ? Math.Max(0, dom0KiB - LeastDom0KiB) : 0;
}
