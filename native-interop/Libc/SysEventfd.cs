using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/eventfd.h</c> of glibc.</summary>
[CHeader("sys/eventfd.h")]
internal static partial class SysEventfd
{
    [CConstant] internal const int EFD_CLOEXEC = 0x80000;
    [CConstant] internal const int EFD_NONBLOCK = 0x800;

    /// <summary>Makes an event counter. Returns its descriptor, which the caller closes, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int eventfd(uint count, int flags);

    /// <summary>Takes the counter's value and sets it to 0. Returns 0, or -1 with errno set: EAGAIN where it is 0.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int eventfd_read(int fd, ref ulong value);

    /// <summary>Adds to the counter, which makes the descriptor readable. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int eventfd_write(int fd, ulong value);
}
