using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Libc;

public class IoctlTests
{
    // sys/ioctl.h: the number of a pseudo terminal. Its highest bit is set, as that of all requests that read is.
    private const uint TIOCGPTN = 0x80045430;

    [Fact]
    public void A_request_with_its_highest_bit_set_fills_the_block()
    {
        using SafeFileHandle terminal = File.OpenHandle("/dev/ptmx", FileMode.Open, FileAccess.ReadWrite);
        byte[] number = [0xff, 0xff, 0xff, 0xff, 0xa5];
        Assert.Equal(0, Ioctl.Call(terminal, TIOCGPTN, number));
        Assert.True(File.Exists($"/dev/pts/{MemoryMarshal.Read<uint>(number)}"));
        Assert.Equal(0xa5, number[4]);
    }

    [Fact]
    public void A_device_that_does_not_know_the_request_says_so()
    {
        using SafeFileHandle nothing = File.OpenHandle("/dev/null");
        Assert.Equal(-1, Ioctl.Call(nothing, LinuxFs.BLKGETSIZE64, new byte[sizeof(ulong)]));
        Assert.Equal(Tmds.Linux.LibC.ENOTTY, Marshal.GetLastPInvokeError());
    }

    [Fact]
    public void A_closed_handle_is_not_used()
    {
        SafeFileHandle closed = File.OpenHandle("/dev/null");
        closed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Ioctl.Call(closed, LinuxFs.BLKGETSIZE64, new byte[sizeof(ulong)]));
    }
}
