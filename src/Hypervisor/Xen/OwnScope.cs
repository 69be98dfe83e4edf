namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>Starts programs that leave a guest's helpers behind (the <c>xl</c> that waits for its end, QEMU) outside of this
/// process's service: systemd ends all of a service's processes with it, and a guest does not outlive its QEMU.</summary>
internal static class OwnScope
{
    // sd_booted(3).
    private const string Booted = "/run/systemd/system";

    // The daemon's own OOM score and umask are not its children's: a guest's QEMU is what the kernel may end before the daemon, and
    // logs are to be read. The score can only be lowered by root, which this is.
    private const string Plain = "echo 0 > /proc/self/oom_score_adj 2> /dev/null; umask 022; exec \"$@\"";

    /// <summary>The command that does it.</summary>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="booted">Whether systemd runs here; null to look.</param>
    /// <returns>The program to start, which becomes the one wanted: standard streams and exit code are its.</returns>
    internal static (string Program, string[] Arguments) Around(string program, string[] arguments, bool? booted = null)
    {
        string[] plain = ["/bin/sh", "-c", Plain, "sh", program, .. arguments];
        return booted ?? Directory.Exists(Booted)
            ? ("systemd-run", ["--scope", "--quiet", "--collect", "--slice=machine.slice", "--", .. plain])
            : (plain[0], plain[1..]);
    }
}
