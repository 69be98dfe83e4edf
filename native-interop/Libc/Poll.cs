using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Libc;

/// <summary><c>poll.h</c> of glibc.</summary>
[CHeader("poll.h")]
internal static partial class Poll
{
    [CConstant] internal const short POLLIN = 1;
    [CConstant] internal const short POLLOUT = 4;

    /// <summary>Waits up to <paramref name="timeout"/> milliseconds (-1: for ever) for descriptors. Returns how many
    /// are ready, 0 at the timeout, or -1 with errno set (EINTR included).</summary>
    [LibraryImport(LibcName.Value, SetLastError = true)]
    internal static partial int poll(ref PollFd fds, nuint nfds, int timeout);
}

/// <summary><c>struct pollfd</c>.</summary>
[CStruct("struct pollfd")]
[CHeader("poll.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct PollFd
{
    internal int fd;
    internal short events;
    internal short revents;
}
