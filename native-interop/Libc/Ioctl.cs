using System.Runtime.InteropServices;
using Tmds.Linux;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary>ioctl(2) by handles, which it keeps open. Returns -1 with errno set, otherwise what the request defines.</summary>
internal static class Ioctl
{
    /// <summary>Asks with a block of memory that the request reads, fills, or both.</summary>
    internal static int Call(SafeHandle handle, uint request, Span<byte> argument)
    {
        // unsafe: the call takes a pointer. Safe: the block is pinned meanwhile, and as long as the request defines.
        unsafe
        {
            fixed (byte* pointer = argument)
            {
                return Call(handle, request, (nint)pointer);
            }
        }
    }

    /// <summary>Asks with an integer.</summary>
    internal static int Call(SafeHandle handle, uint request, nint argument)
    {
        bool added = false;
        handle.DangerousAddRef(ref added);
        try
        {
            // The kernel takes the lower 32 bits of a request. unsafe: integers and pointers go the same way, as pointers.
            unsafe
            {
                return LibC.ioctl((int)handle.DangerousGetHandle(), unchecked((int)request), (void*)argument);
            }
        }
        finally
        {
            handle.DangerousRelease();
        }
    }
}
