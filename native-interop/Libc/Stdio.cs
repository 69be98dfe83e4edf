using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>stdio.h</c> of glibc.</summary>
[CHeader("stdio.h")]
internal static partial class Stdio
{
    /// <summary>Makes a stream of a descriptor, which it owns from then on. Returns null with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint fdopen(int fd, string mode);

    /// <summary>Moves a file. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static unsafe partial int rename(byte* old, byte* new_name);
}
