using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Names of pools, volumes and directories.</summary>
internal static partial class DiskNames
{
    /// <summary>Requires that a text is one.</summary>
    /// <exception cref="DiskException">It is none.</exception>
    internal static void Check(string name)
    {
        if (!Names().IsMatch(name))
        {
            throw new DiskException(
                $"'{name}' is no name: 1 to 64 letters, digits, '_', '.' and '-', beginning with a letter or digit.");
        }
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Names();
}
