using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>The logger of Xen's libraries: warnings and errors go to standard error. Their own default prints the
/// progress of each save there as well.</summary>
internal static class XenLog
{
    // One for the life of the process; a stream of its own, since the C library's belongs to the C library.
    private static readonly Lazy<nint> Logger = new(Make);

    /// <summary>The logger; null, which means the libraries' default, where none could be made.</summary>
    internal static nint Handle => Logger.Value;

    private static nint Make()
    {
        // Not for programs that are started: an 'xl restore' that goes on as a daemon would keep the caller's pipe open.
        int descriptor = LibC.fcntl(LibC.STDERR_FILENO, LibC.F_DUPFD_CLOEXEC, 0);
        nint stream = descriptor < 0 ? nint.Zero : Stdio.fdopen(descriptor, "w");
        return stream == nint.Zero
            ? nint.Zero
            : Xentoollog.xtl_createlogger_stdiostream(stream, Xentoollog.XTL_WARN, 0);
    }
}
