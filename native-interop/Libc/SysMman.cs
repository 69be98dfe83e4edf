using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>sys/mman.h</c> of glibc (Linux x86-64).</summary>
[CHeader("sys/mman.h")]
internal static partial class SysMman
{
    [CConstant] internal const int PROT_READ = 1;
    [CConstant] internal const int PROT_WRITE = 2;
    [CConstant] internal const int MAP_PRIVATE = 0x02;
    [CConstant] internal const int MAP_ANONYMOUS = 0x20;
    [CConstant] internal const int MAP_NORESERVE = 0x4000;
    [CConstant] internal const int MADV_DONTNEED = 4;
    [CConstant] internal const int MADV_DONTDUMP = 16;
    [CConstant("(long)MAP_FAILED")] internal const long MAP_FAILED = -1;

    /// <summary>Maps memory. Returns the address, or <see cref="MAP_FAILED"/> with errno set. The caller owns
    /// the mapping and releases it with <see cref="munmap"/>.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial nint mmap(nint addr, nuint length, int prot, int flags, int fd, long offset);

    /// <summary>Unmaps memory. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int munmap(nint addr, nuint length);

    /// <summary>Faults pages in and keeps them in memory. Returns 0, or -1 with errno set: ENOMEM or EPERM past
    /// RLIMIT_MEMLOCK. Ended by <c>munmap</c>.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int mlock(nint addr, nuint length);

    /// <summary>Advises the kernel on a range of pages. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int madvise(nint addr, nuint length, int advice);
}
