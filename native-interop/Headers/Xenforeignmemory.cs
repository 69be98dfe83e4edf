using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xenforeignmemory.h</c> of libxenforeignmemory 1.</summary>
[CHeader("xenforeignmemory.h")]
internal static partial class Xenforeignmemory
{
    /// <summary>Opens the mapping device. Returns a handle for <see cref="xenforeignmemory_close"/>, or null with
    /// errno set.</summary>
    [LibraryImport(XenLibrary.ForeignMemory, SetLastError = true)]
    internal static partial nint xenforeignmemory_open(nint logger, uint open_flags);

    /// <summary>Closes a handle; its mappings are to be unmapped before. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(XenLibrary.ForeignMemory, SetLastError = true)]
    internal static partial int xenforeignmemory_close(nint fmem);

    /// <summary>Maps <paramref name="pages"/> frames of a domain side by side. Returns the address, or null with
    /// errno set where nothing was mapped. A frame that could not be mapped gets its errno in
    /// <paramref name="err"/> (Linux: negative), and touching its place in the mapping raises SIGBUS. The caller
    /// unmaps with <see cref="xenforeignmemory_unmap"/>.</summary>
    [LibraryImport(XenLibrary.ForeignMemory, SetLastError = true)]
    internal static partial nint xenforeignmemory_map2(
        ForeignMemory fmem, uint dom, nint addr, int prot, int flags, nuint pages, ref ulong arr, ref int err);

    /// <summary>Unmaps a mapping whole. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(XenLibrary.ForeignMemory, SetLastError = true)]
    internal static partial int xenforeignmemory_unmap(nint fmem, nint addr, nuint pages);
}
