using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>unistd.h</c> of glibc.</summary>
[CHeader("unistd.h")]
internal static partial class Unistd
{
    /// <summary>Copies inside the kernel. Returns the octets that were copied, 0 at the file's end, or -1 with errno set.
    /// </summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial long copy_file_range(
        int infd, ref long pinoff, int outfd, ref long poutoff, nuint length, uint flags);
}
