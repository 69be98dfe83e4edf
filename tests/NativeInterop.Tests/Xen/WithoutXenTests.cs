using XenTwoLevelCkpt.NativeInterop.Libc;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

/// <summary>What a machine that has Xen's libraries, and no Xen, answers.</summary>
public class WithoutXenTests
{
    public WithoutXenTests() => Assert.SkipWhen(
        Array.Exists(RunningHypervisor.ControlDevices, File.Exists), "This machine runs Xen.");

    [Fact]
    public void The_control_interface_names_the_missing_devices() =>
        AssertNames(() => XenInterface.Open(), "/dev/xen/privcmd", "/proc/xen/privcmd", "Dom0");

    [Fact]
    public void Foreign_memory_names_the_missing_devices() =>
        AssertNames(() => ForeignMemory.Open(), "/dev/xen/privcmd", "/proc/xen/privcmd");

    [Fact]
    public void The_interface_of_device_models_names_the_missing_devices() =>
        AssertNames(() => DeviceModel.Open(), "/dev/xen/privcmd", "/proc/xen/privcmd");

    [Fact]
    public void Event_channels_name_the_missing_device() => AssertNames(() => EventChannel.Open(), "/dev/xen/evtchn");

    [Fact]
    public void Nothing_tells_a_release() => Assert.Null(RunningHypervisor.TryGetRelease());

    private static void AssertNames(Func<IDisposable> open, params string[] names)
    {
        XenUnavailableException e = Assert.Throws<XenUnavailableException>(open);
        Assert.Equal(Errno.ENOENT, e.Errno);
        Assert.Equal("ENOENT", e.ErrnoName);
        Assert.All(names, name => Assert.Contains(name, e.Message, StringComparison.Ordinal));
    }
}
