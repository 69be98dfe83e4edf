namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>Links under /dev/mapper. udev makes them where it runs; the kernel itself makes /dev/dm-N only.</summary>
internal static class DeviceLinks
{
    private const string UdevControl = "/run/udev/control";

    /// <summary>udev takes milliseconds; on a host that just boots it may have a queue.</summary>
    private const int UdevTimeoutMs = 5000;

    /// <summary>Sees to it that a device is there under its name.</summary>
    internal static void Ensure(string device, string node)
    {
        string link = $"/dev/mapper/{device}";
        if (File.Exists(UdevControl))
        {
            long start = Environment.TickCount64;
            while (!File.Exists(link) && Environment.TickCount64 - start < UdevTimeoutMs)
            {
                Thread.Sleep(10);
            }
        }

        string target = $"../{Path.GetFileName(node)}";
        if (new FileInfo(link).LinkTarget is { } old && old != target)
        {
            // Of an earlier device of this name, and without udev nobody else removes it.
            File.Delete(link);
        }

        if (!File.Exists(link))
        {
            _ = File.CreateSymbolicLink(link, target);
        }
    }

    /// <summary>Removes the link to a device that is gone, where udev has not.</summary>
    internal static void Remove(string device)
    {
        // File.Exists says yes to a link that leads nowhere.
        var link = new FileInfo($"/dev/mapper/{device}");
        if (link.LinkTarget is not null && link.ResolveLinkTarget(returnFinalTarget: true)?.Exists != true)
        {
            link.Delete();
        }
    }
}
