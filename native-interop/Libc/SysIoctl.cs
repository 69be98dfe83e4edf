using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/ioctl.h</c> of glibc.</summary>
[CHeader("sys/ioctl.h")]
internal static partial class SysIoctl
{
    /// <summary>Asks a device to do something. <paramref name="argument"/> is what the request defines, in and out.
    /// Returns -1 with errno set, otherwise what the request defines.</summary>
    [NotInC("Variadic. On x86-64 a pointer in the variable part is passed as in a fixed one, and glibc reads one.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int ioctl(SafeHandle fd, nuint request, ref byte argument);

    /// <summary>The same by descriptors.</summary>
    [NotInC("Variadic. On x86-64 a pointer in the variable part is passed as in a fixed one, and glibc reads one.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int ioctl(int fd, nuint request, ref byte argument);

    /// <summary>The same for requests whose argument is an integer, by descriptors.</summary>
    [NotInC("Variadic. On x86-64 an integer in the variable part is passed as in a fixed one, and glibc reads a long.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int ioctl(int fd, nuint request, nint argument);
}
