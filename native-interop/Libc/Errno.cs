using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>errno.h</c> of Linux x86-64: the values that Xen's libraries and this project's calls give.</summary>
[CHeader("errno.h")]
internal static class Errno
{
    [CConstant] internal const int EPERM = 1;
    [CConstant] internal const int ENOENT = 2;
    [CConstant] internal const int ESRCH = 3;
    [CConstant] internal const int EINTR = 4;
    [CConstant] internal const int EIO = 5;
    [CConstant] internal const int ENXIO = 6;
    [CConstant] internal const int E2BIG = 7;
    [CConstant] internal const int EBADF = 9;
    [CConstant] internal const int ECHILD = 10;
    [CConstant] internal const int EAGAIN = 11;
    [CConstant] internal const int ENOMEM = 12;
    [CConstant] internal const int EACCES = 13;
    [CConstant] internal const int EFAULT = 14;
    [CConstant] internal const int EBUSY = 16;
    [CConstant] internal const int EEXIST = 17;
    [CConstant] internal const int EXDEV = 18;
    [CConstant] internal const int ENODEV = 19;
    [CConstant] internal const int ENOTDIR = 20;
    [CConstant] internal const int EISDIR = 21;
    [CConstant] internal const int EINVAL = 22;
    [CConstant] internal const int EMFILE = 24;
    [CConstant] internal const int EFBIG = 27;
    [CConstant] internal const int ENOSPC = 28;
    [CConstant] internal const int EROFS = 30;
    [CConstant] internal const int EPIPE = 32;
    [CConstant] internal const int ERANGE = 34;
    [CConstant] internal const int ENOSYS = 38;
    [CConstant] internal const int ENOTEMPTY = 39;
    [CConstant] internal const int ENOBUFS = 105;
    [CConstant] internal const int ENODATA = 61;
    [CConstant] internal const int EBADFD = 77;
    [CConstant] internal const int EOPNOTSUPP = 95;
    [CConstant] internal const int ECONNRESET = 104;
    [CConstant] internal const int ETIMEDOUT = 110;
    [CConstant] internal const int ECONNREFUSED = 111;
    [CConstant] internal const int ESTALE = 116;
    [CConstant] internal const int EDQUOT = 122;

    /// <summary>The symbolic name of an errno value, such as <c>EINVAL</c>.</summary>
    internal static string NameOf(int errno) => errno switch
    {
        EPERM => nameof(EPERM),
        ENOENT => nameof(ENOENT),
        ESRCH => nameof(ESRCH),
        EINTR => nameof(EINTR),
        EIO => nameof(EIO),
        ENXIO => nameof(ENXIO),
        E2BIG => nameof(E2BIG),
        EBADF => nameof(EBADF),
        ECHILD => nameof(ECHILD),
        EAGAIN => nameof(EAGAIN),
        ENOMEM => nameof(ENOMEM),
        EACCES => nameof(EACCES),
        EFAULT => nameof(EFAULT),
        EBUSY => nameof(EBUSY),
        EEXIST => nameof(EEXIST),
        EXDEV => nameof(EXDEV),
        ENODEV => nameof(ENODEV),
        ENOTDIR => nameof(ENOTDIR),
        EISDIR => nameof(EISDIR),
        EINVAL => nameof(EINVAL),
        EMFILE => nameof(EMFILE),
        EFBIG => nameof(EFBIG),
        ENOSPC => nameof(ENOSPC),
        EROFS => nameof(EROFS),
        EPIPE => nameof(EPIPE),
        ERANGE => nameof(ERANGE),
        ENOSYS => nameof(ENOSYS),
        ENOTEMPTY => nameof(ENOTEMPTY),
        ENOBUFS => nameof(ENOBUFS),
        ENODATA => nameof(ENODATA),
        EBADFD => nameof(EBADFD),
        EOPNOTSUPP => nameof(EOPNOTSUPP),
        ECONNRESET => nameof(ECONNRESET),
        ETIMEDOUT => nameof(ETIMEDOUT),
        ECONNREFUSED => nameof(ECONNREFUSED),
        ESTALE => nameof(ESTALE),
        EDQUOT => nameof(EDQUOT),
        _ => $"errno {errno}",
    };

    /// <summary>Name and meaning of an errno value: <c>EINVAL (Invalid argument)</c>.</summary>
    internal static string Describe(int errno) => $"{NameOf(errno)} ({Marshal.GetPInvokeErrorMessage(errno)})";
}
