namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>What Xen's block backend (xen-blkback) serves to domains, from sysfs.</summary>
internal static class Backends
{
    private const string Devices = "/sys/bus/xen-backend/devices";

    /// <summary>True where a domain has a block device as its disk.</summary>
    /// <param name="path">The device.</param>
    internal static bool Serve(string path)
    {
        if (!Directory.Exists(Devices))
        {
            return false;
        }

        string real = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
        string number = File.ReadAllText($"/sys/class/block/{Path.GetFileName(real)}/dev").Trim();
        foreach (string disk in Directory.EnumerateDirectories(Devices, "vbd-*"))
        {
            try
            {
                // physical_device is "major:minor" in hexadecimal, dev the same in decimal.
                string[] parts = File.ReadAllText(Path.Combine(disk, "physical_device")).Trim().Split(':');
                if (parts.Length == 2 && number == $"{Convert.ToInt32(parts[0], 16)}:{Convert.ToInt32(parts[1], 16)}")
                {
                    return true;
                }
            }
            catch (Exception e) when (e is IOException or FormatException)
            {
                // Gone meanwhile, or not connected yet.
            }
        }

        return false;
    }
}
