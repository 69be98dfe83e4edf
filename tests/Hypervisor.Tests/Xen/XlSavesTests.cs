using XenTwoLevelCkpt.Hypervisor.Xen;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests.Xen;

/// <summary>A running save or migration is found by its helper process.</summary>
public sealed class XlSavesTests : IDisposable
{
    private readonly string _proc = Directory.CreateTempSubdirectory("xtl-proc-").FullName;

    public void Dispose() => Directory.Delete(_proc, recursive: true);

    [Fact]
    public void A_save_is_one_of_the_domain_that_its_helper_names()
    {
        Add(1, "init", "/sbin/init");
        Add(40, "xl", "xl\0save\0guest\0/file");
        Assert.False(Saves().Include(7));
        Add(41, "libxl-save-help", Helper("--save-domain", 7, live: false));

        // A file descriptor, and a restore.
        Assert.True(Saves().Include(7));
        Assert.False(Saves().Include(10));
        Add(42, "libxl-save-help", Helper("--restore-domain", 8, live: false));
        Assert.False(Saves().Include(8));
    }

    [Fact]
    public void A_save_that_begins_later_is_told_from_a_migration()
    {
        Add(41, "libxl-save-help", Helper("--save-domain", 7, live: true));
        XlSaves saves = Saves();
        Assert.False(saves.HasBegunSince(7));
        Add(43, "libxl-save-help", Helper("--save-domain", 8, live: true));
        Assert.False(saves.HasBegunSince(8));
        Add(45, "libxl-save-help", Helper("--save-domain", 9, live: false));
        Assert.True(saves.HasBegunSince(9));
        Assert.False(saves.Include(9));
    }

    [Fact]
    public void Processes_are_numbered_from_the_beginning_again()
    {
        Add(4000, "init", "/sbin/init");
        XlSaves saves = Saves();
        Add(30, "libxl-save-help", Helper("--save-domain", 9, live: false));
        Assert.True(saves.HasBegunSince(9));
        Assert.False(saves.HasBegunSince(8));
    }

    [Fact]
    public void A_process_that_ends_meanwhile_is_none()
    {
        _ = Directory.CreateDirectory(Path.Combine(_proc, "99"));
        Add(98, "libxl-save-help", "");
        Assert.False(Saves().Include(7));
        Assert.False(new XlSaves().Include(int.MaxValue));
        Assert.False(XlSaves.Recent().HasBegunSince(int.MaxValue));
    }

    private static string Helper(string mode, int domid, bool live) =>
        $"/usr/lib/xen-4.17/bin/libxl-save-helper\0{mode}\010\0-1\0{domid}\0{(live ? 1 : 0)}\03\00\0";

    private XlSaves Saves() => new(_proc);

    private void Add(int process, string comm, string arguments)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_proc, $"{process}")).FullName;
        File.WriteAllText(Path.Combine(folder, "comm"), comm + "\n");
        File.WriteAllText(Path.Combine(folder, "cmdline"), arguments);
        File.WriteAllText(Path.Combine(_proc, "loadavg"), $"0.10 0.20 0.30 1/250 {process}\n");
    }
}
