using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xencall.h</c> of libxencall 1: raw hypercalls over a stable ABI.</summary>
[CHeader("xencall.h")]
internal static partial class Xencall
{
    /// <summary>Opens the hypercall device. Returns a handle for <see cref="xencall_close"/>, or null with errno
    /// set.</summary>
    [LibraryImport(XenLibrary.Call, SetLastError = true)]
    internal static partial nint xencall_open(nint logger, uint open_flags);

    /// <summary>Closes a handle. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(XenLibrary.Call, SetLastError = true)]
    internal static partial int xencall_close(nint xcall);

    /// <summary>Makes a hypercall of two arguments. Returns its result, or -1 with errno set.</summary>
    [LibraryImport(XenLibrary.Call, SetLastError = true)]
    internal static partial int xencall2(nint xcall, uint op, ulong arg1, ulong arg2);
}
