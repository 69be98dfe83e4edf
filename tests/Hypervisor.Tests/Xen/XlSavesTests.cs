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
        Add("1", "init", "/sbin/init");
        Add("self", "libxl-save-help", "/x/libxl-save-helper\0--save-domain\07\0-1\09\01\0");
        Add("40", "xl", "xl\0save\0guest\0/file");
        Assert.False(XlSaves.IsSaving(7, _proc));
        Add("41", "libxl-save-help", "/usr/lib/xen-4.17/bin/libxl-save-helper\0--save-domain\010\0-1\07\01\03\00\0");
        Assert.True(XlSaves.IsSaving(7, _proc));
        Assert.False(XlSaves.IsSaving(10, _proc));

        // A file descriptor, and a restore.
        Assert.False(XlSaves.IsSaving(9, _proc));
        Add("42", "libxl-save-help", "/usr/lib/xen-4.17/bin/libxl-save-helper\0--restore-domain\010\0-1\08\01\0");
        Assert.False(XlSaves.IsSaving(8, _proc));
    }

    [Fact]
    public void A_process_that_ends_meanwhile_is_none()
    {
        _ = Directory.CreateDirectory(Path.Combine(_proc, "99"));
        Add("98", "libxl-save-help", "");
        Assert.False(XlSaves.IsSaving(7, _proc));
        Assert.False(XlSaves.IsSaving(int.MaxValue));
    }

    private void Add(string process, string comm, string arguments)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_proc, process)).FullName;
        File.WriteAllText(Path.Combine(folder, "comm"), comm + "\n");
        File.WriteAllText(Path.Combine(folder, "cmdline"), arguments);
    }
}
