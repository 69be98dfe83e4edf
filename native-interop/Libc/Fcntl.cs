using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>fcntl.h</c> of glibc (Linux x86-64).</summary>
[CHeader("fcntl.h")]
internal static partial class Fcntl
{
    [CConstant] internal const int O_RDONLY = 0;
    [CConstant] internal const int O_WRONLY = 1;
    [CConstant] internal const int O_RDWR = 2;
    [CConstant] internal const int O_NONBLOCK = 0x800;
    [CConstant] internal const int O_CREAT = 0x40;
    [CConstant] internal const int O_EXCL = 0x80;
    [CConstant] internal const int O_DIRECTORY = 0x10000;
    [CConstant] internal const int O_NOFOLLOW = 0x20000;
    [CConstant] internal const int O_CLOEXEC = 0x80000;
    [CConstant] internal const int F_RDLCK = 0;
    [CConstant] internal const int F_UNLCK = 2;
    [CConstant] internal const int F_SETSIG = 10;
    [CConstant] internal const int F_SETLEASE = 1024;
    [CConstant] internal const int F_DUPFD_CLOEXEC = 1030;

    /// <summary>Opens a file. Returns a descriptor that the caller closes, or -1 with errno set. Declared variadic
    /// in C; without O_CREAT the third argument is not read, and on x86-64 the two fixed arguments of a variadic
    /// function are passed as any others.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int open(string file, int oflag);

    /// <summary>The same with the mode that O_CREAT gives a new file, and a path that ends with a zero.</summary>
    [NotInC("Variadic. On x86-64 an integer in the variable part is passed as in a fixed one, and glibc reads one.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int open(ref byte file, int oflag, uint mode);

    /// <summary>With <see cref="F_DUPFD_CLOEXEC"/>, returns another descriptor of the same file, at least
    /// <paramref name="argument"/>, that programs started later do not inherit; -1 with errno set.</summary>
    [NotInC("Variadic. On x86-64 an integer in the variable part is passed as in a fixed one, and this request reads one.")]
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int fcntl(int fd, int cmd, int argument);
}
