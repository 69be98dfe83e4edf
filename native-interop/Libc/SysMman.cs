using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/mman.h</c> of glibc (Linux x86-64).</summary>
internal static partial class SysMman
{
    internal const int PROT_READ = 1;
    internal const int PROT_WRITE = 2;
    internal const int MAP_PRIVATE = 0x02;
    internal const int MAP_ANONYMOUS = 0x20;
    internal const int MAP_NORESERVE = 0x4000;
    internal static readonly nint MAP_FAILED = -1;

    /// <summary>Maps memory. Returns the address, or <see cref="MAP_FAILED"/> with errno set. The caller owns
    /// the mapping and releases it with <see cref="munmap"/>.</summary>
    [LibraryImport("libc.so.6", SetLastError = true)]
    internal static partial nint mmap(nint addr, nuint length, int prot, int flags, int fd, long offset);

    /// <summary>Unmaps memory. Returns 0, or -1 with errno set.</summary>
    [LibraryImport("libc.so.6", SetLastError = true)]
    internal static partial int munmap(nint addr, nuint length);
}
