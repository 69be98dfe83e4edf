using XenTwoLevelCkpt.NativeInterop.Libc;
using XenTwoLevelCkpt.NativeInterop.Xen;
using Xunit;

namespace XenTwoLevelCkpt.NativeInterop.Tests.Xen;

public class XenErrorsTests
{
    [Theory]
    [InlineData("Device", Errno.ENOENT, typeof(XenUnavailableException), "Dom0")]
    [InlineData("Device", Errno.ENODEV, typeof(XenUnavailableException), "Dom0")]
    [InlineData("Device", Errno.ECONNREFUSED, typeof(XenUnavailableException), "xenstored")]
    [InlineData("Device", Errno.EACCES, typeof(XenPermissionException), "root")]
    [InlineData("Store", Errno.EACCES, typeof(XenPermissionException), "root")]
    [InlineData("Store", Errno.ENOENT, typeof(XenNotFoundException), "ENOENT")]
    [InlineData("Store", Errno.EPIPE, typeof(XenUnavailableException), "closed the connection")]
    [InlineData("Store", Errno.EBADF, typeof(XenUnavailableException), "closed the connection")]
    [InlineData("Hypercall", Errno.ESRCH, typeof(XenNotFoundException), "no such domain")]
    [InlineData("Hypercall", Errno.EPERM, typeof(XenPermissionException), "control domain")]
    [InlineData("Hypercall", Errno.EACCES, typeof(XenPermissionException), "different releases")]
    [InlineData("Hypercall", Errno.EBUSY, typeof(XenBusyException), "EBUSY")]
    [InlineData("Hypercall", Errno.EINVAL, typeof(XenException), "EINVAL")]
    [InlineData("Hypercall", Errno.ENOSYS, typeof(XenUnsupportedException), "ENOSYS")]
    [InlineData("Hypercall", Errno.EOPNOTSUPP, typeof(XenUnsupportedException), "EOPNOTSUPP")]
    [InlineData("Hypercall", Errno.ENOMEM, typeof(XenException), "ENOMEM")]
    [InlineData("DirtyLogStart", Errno.EINVAL, typeof(XenBusyException), "Another program")]
    [InlineData("DirtyLogStart", Errno.ESRCH, typeof(XenNotFoundException), "no such domain")]
    public void An_errno_becomes_the_exception_of_its_meaning(string source, int errno, Type type, string hint)
    {
        XenException e = XenErrors.Create(Enum.Parse<XenErrorSource>(source), "pause domain 3", errno);
        Assert.IsType(type, e);
        Assert.Equal(errno, e.Errno);
        Assert.Equal("pause domain 3", e.Operation);
        Assert.StartsWith($"Could not pause domain 3: {e.ErrnoName} (", e.Message, StringComparison.Ordinal);
        Assert.Contains(hint, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_errno_without_a_name_keeps_its_number() =>
        Assert.Equal("errno 4095", XenErrors.Create(XenErrorSource.Hypercall, "x", 4095).ErrnoName);
}
