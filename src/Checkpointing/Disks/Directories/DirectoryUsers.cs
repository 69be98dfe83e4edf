using System.Globalization;
using XenTwoLevelCkpt.NativeInterop.Files;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Directories;

/// <summary>A process that uses an exported directory.</summary>
/// <param name="Pid">Its id.</param>
/// <param name="Name">Its program.</param>
/// <param name="Serves">True where it has the exported directory itself open, as the server of a guest has.</param>
/// <param name="WorksInside">True where it has its working directory or root there: what it does with relative names would
/// go past a new layer.</param>
internal sealed record DirectoryUser(int Pid, string Name, bool Serves, bool WorksInside);

/// <summary>Finds the processes that use an exported directory, by their descriptors and working directories.</summary>
internal static class DirectoryUsers
{
    /// <summary>Looks through all other processes of this host.</summary>
    /// <param name="export">The exported directory's raw path.</param>
    /// <param name="data">The overlay below it.</param>
    internal static IReadOnlyList<DirectoryUser> Find(string export, string data)
    {
        var users = new List<DirectoryUser>();
        if (RawFiles.TryStat(export) is not { } root)
        {
            return users;
        }

        (uint, uint)? overlay = RawFiles.TryStat(data)?.FileSystem;
        foreach (string process in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(process), NumberStyles.None, CultureInfo.InvariantCulture, out int pid)
                || pid == Environment.ProcessId)
            {
                continue;
            }

            bool inside = IsThere($"{process}/cwd", out _) || IsThere($"{process}/root", out _), serves = false, uses = inside;
            foreach (string descriptor in Descriptors(process))
            {
                if (IsThere(descriptor, out RawStat stat))
                {
                    uses = true;
                    serves |= stat.Inode == root.Inode && stat.FileSystem == root.FileSystem;
                }
            }

            if (uses)
            {
                users.Add(new DirectoryUser(pid, NameOf(process), serves, inside));
            }
        }

        return users;

        bool IsThere(string link, out RawStat stat)
        {
            stat = RawFiles.TryStatTarget(link) ?? default;
            return stat.Inode != 0 && (stat.FileSystem == root.FileSystem || stat.FileSystem == overlay);
        }
    }

    private static string[] Descriptors(string process)
    {
        try
        {
            return Directory.GetFileSystemEntries($"{process}/fd");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended meanwhile.
            return [];
        }
    }

    private static string NameOf(string process)
    {
        try
        {
            return File.ReadAllText($"{process}/comm").Trim();
        }
        catch (IOException)
        {
            return "?";
        }
    }
}
