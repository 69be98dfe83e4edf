namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>Block devices over files, by <c>losetup</c>.</summary>
internal static class LoopDevice
{
    private const string Package = "mount";

    /// <summary>The block device for a path: the path itself, or a loop device over a file, attached where it is not.
    /// </summary>
    internal static string Attach(string path) =>
        IsBlockDevice(path) ? path : Find(path) ?? Tool.Run(Package, "losetup", "--find", "--show", path);

    /// <summary>The loop device over a file; null where there is none, or where the path is no file.</summary>
    internal static string? Find(string path)
    {
        if (IsBlockDevice(path))
        {
            return null;
        }

        string found = Tool.Run(Package, "losetup", "--noheadings", "--output", "NAME", "--associated", path);
        return found.Length == 0 ? null : found.Split('\n')[0].Trim();
    }

    /// <summary>Takes the loop device over a file away, where there is one.</summary>
    internal static void Detach(string path)
    {
        if (Find(path) is { } device)
        {
            _ = Tool.Run(Package, "losetup", "--detach", device);
        }
    }

    /// <summary>True for block devices and links to them.</summary>
    /// <exception cref="DiskException">There is nothing of this path.</exception>
    internal static bool IsBlockDevice(string path)
    {
        if (!File.Exists(path))
        {
            throw new DiskException($"There is no device or file {path}.");
        }

        string real = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? Path.GetFullPath(path);
        return Directory.Exists($"/sys/class/block/{Path.GetFileName(real)}")
            && real.StartsWith("/dev/", StringComparison.Ordinal);
    }
}
