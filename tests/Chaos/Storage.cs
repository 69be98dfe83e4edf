using System.Diagnostics;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>The storage that all nodes share, and what happens to it. As root it is a small file system of its own, which
/// can be full; elsewhere it never is.</summary>
internal sealed class Storage : IDisposable
{
    private const string Ballast = "ballast";

    private readonly string _folder;
    private readonly bool _mounted;
    private readonly HashSet<string> _away = [];

    internal Storage(string folder)
    {
        _folder = folder;
        _ = Directory.CreateDirectory(folder);
        _mounted = Environment.IsPrivilegedProcess
            && Run("mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "xtl-chaos", folder);
    }

    /// <summary>Takes a node's store away: a file is in its place, so that nobody makes another one.</summary>
    /// <param name="store">The store.</param>
    /// <returns>False where it is away already.</returns>
    internal bool TakeAway(string store)
    {
        if (!_away.Add(store))
        {
            return false;
        }

        Directory.Move(store, store + ".away");
        File.WriteAllBytes(store, []);
        return true;
    }

    /// <summary>Brings it back.</summary>
    /// <param name="store">The store.</param>
    internal void PutBack(string store)
    {
        File.Delete(store);
        Directory.Move(store + ".away", store);
        _ = _away.Remove(store);
    }

    /// <summary>Leaves no room.</summary>
    internal void Fill()
    {
        if (!_mounted)
        {
            return;
        }

        byte[] block = new byte[64 << 10];
        using var ballast = new FileStream(
            Path.Combine(_folder, Ballast), FileMode.Append, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true)
            {
                ballast.Write(block);
            }
        }
        catch (IOException)
        {
            // It is full.
        }
    }

    /// <summary>Makes room again.</summary>
    internal void Empty() => File.Delete(Path.Combine(_folder, Ballast));

    /// <summary>Copies what is there to where it outlives this object, beside the folder.</summary>
    internal void Keep()
    {
        Empty();
        if (_mounted)
        {
            _ = Run("cp", "-a", _folder, _folder + ".kept");
        }
    }

    public void Dispose()
    {
        if (_mounted)
        {
            _ = Run("umount", "-l", _folder);
        }
    }

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
        _ = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
