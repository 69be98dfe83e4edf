using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>stdlib.h</c> of glibc.</summary>
[CHeader("stdlib.h")]
internal static partial class Stdlib
{
    /// <summary>Frees a block from <c>malloc</c>; null is allowed. Cannot fail.</summary>
    [LibraryImport(LibcName.Value)]
    internal static partial void free(nint ptr);
}
