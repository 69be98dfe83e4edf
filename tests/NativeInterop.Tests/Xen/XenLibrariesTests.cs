using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class XenLibrariesTests
{
    [Fact]
    public void The_release_takes_its_place_in_the_soname()
    {
        string[] candidates = XenLibraries.Candidates(XenLibrary.Guest, new XenRelease(4, 20));
        Assert.Equal("libxenguest.so.4.20", candidates[0]);
        Assert.All(candidates, c => Assert.EndsWith("libxenguest.so.4.20", c, StringComparison.Ordinal));
        Assert.Contains("/usr/lib/xen-4.20/lib/x86_64-linux-gnu/libxenguest.so.4.20", candidates);
    }

    [Fact]
    public void A_library_that_is_not_there_names_all_that_was_tried()
    {
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(
            () => XenLibraries.LoadFirst("libxenctrl", ["libxenctrl.so.9.98", "/nowhere/libxenctrl.so.9.99"]));
        Assert.Contains("libxenctrl.so.9.98", e.Message, StringComparison.Ordinal);
        Assert.Contains("/nowhere/libxenctrl.so.9.99", e.Message, StringComparison.Ordinal);
        Assert.Contains("No such file", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_no_library_does_not_stop_the_search()
    {
        nint library = XenLibraries.LoadFirst("liblz4", ["/etc/passwd", "liblz4.so.1"]);
        Assert.NotEqual(nint.Zero, library);
    }

    [Fact]
    public void Control_and_guest_library_are_of_one_release()
    {
        XenLibraries.Load(XenLibrary.Guest);
        string release = XenLibraries.ControlRelease.ToString();
        string maps = File.ReadAllText("/proc/self/maps");
        Assert.Contains($"libxenctrl.so.{release}", maps, StringComparison.Ordinal);
        Assert.Contains($"libxenguest.so.{release}", maps, StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_of_another_release_is_refused()
    {
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(
            () => XenInterface.RequireSameRelease(new XenRelease(4, 17), new XenVersion(new XenRelease(4, 18), ".1")));
        Assert.Contains("Xen 4.18.1", e.Message, StringComparison.Ordinal);
        Assert.Contains("libxenctrl.so.4.17", e.Message, StringComparison.Ordinal);
        Assert.Contains("libxenguest.so.4.18", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_library_of_the_same_release_is_accepted() =>
        XenInterface.RequireSameRelease(new XenRelease(4, 17), new XenVersion(new XenRelease(4, 17), ".7"));

    [Theory]
    [InlineData(4, 16)]
    [InlineData(4, 23)]
    [InlineData(5, 0)]
    public void A_release_whose_structs_are_not_known_is_refused(int major, int minor)
    {
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(
            () => XenLibraries.RequireProved(new XenRelease(major, minor)));
        Assert.Contains($"Xen {major}.{minor}", e.Message, StringComparison.Ordinal);
        Assert.Contains("4.17 to 4.22", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData((4 << 16) | 17, 4, 17)]
    [InlineData((5 << 16) | 0, 5, 0)]
    public void A_hypercall_packs_the_release(int version, int major, int minor) =>
        Assert.Equal(new XenRelease(major, minor), XenRelease.FromHypercall(version));

    [Fact]
    public void Versions_read_as_Xen_prints_them()
    {
        Assert.Equal("4.17.7", new XenVersion(new XenRelease(4, 17), ".7").ToString());
        Assert.Equal("4.21-unstable", new XenVersion(new XenRelease(4, 21), "-unstable").ToString());
    }

    [Theory]
    [InlineData("xen\n", "4\n", "18\n", true)]
    [InlineData("kvm\n", "4\n", "18\n", false)]
    [InlineData("xen\n", "4\n", "", false)]
    [InlineData("xen\n", "4\n", "-1\n", false)]
    [InlineData("xen\n", null, "18\n", false)]
    [InlineData(null, "4\n", "18\n", false)]
    public void Sysfs_tells_the_release(string? type, string? major, string? minor, bool expected)
    {
        string root = Directory.CreateTempSubdirectory().FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(root, "version"));
            Write("type", type);
            Write("version/major", major);
            Write("version/minor", minor);
            Assert.Equal(expected ? new XenRelease(4, 18) : null, RunningHypervisor.FromSysfs(root));
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }

        void Write(string name, string? text)
        {
            if (text is not null)
            {
                File.WriteAllText(Path.Combine(root, name), text);
            }
        }
    }
}
