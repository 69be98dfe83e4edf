using Tmds.Linux;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary>eventfd(2): a descriptor that one thread makes readable to wake another one.</summary>
internal static class EventDescriptor
{
    /// <summary>Returns a descriptor that the caller closes, or -1 with errno set.</summary>
    internal static int Make() => LibC.eventfd(0, LibC.EFD_CLOEXEC | LibC.EFD_NONBLOCK);

    /// <summary>Makes it readable. Returns false with errno set.</summary>
    internal static bool Set(int fd)
    {
        ulong one = 1;

        // unsafe: the call takes a pointer. Safe: to eight octets of this frame.
        unsafe
        {
            return LibC.write(fd, &one, sizeof(ulong)) == sizeof(ulong);
        }
    }

    /// <summary>Makes it unreadable.</summary>
    internal static void Clear(int fd)
    {
        ulong count;

        // unsafe, safe: as above.
        unsafe
        {
            _ = LibC.read(fd, &count, sizeof(ulong));
        }
    }
}
