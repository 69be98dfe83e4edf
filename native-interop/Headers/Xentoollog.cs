using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xentoollog.h</c> of libxentoollog 1: where Xen's libraries put what they have to say.</summary>
[CHeader("xentoollog.h")]
internal static partial class Xentoollog
{
    /// <summary>The level of warnings; below it are progress, information and the like.</summary>
    [CConstant] internal const uint XTL_WARN = 7;

    /// <summary>Makes a logger that writes to a stdio stream, which stays the caller's, what is of a level or above.
    /// Returns null where memory is lacking.</summary>
    [LibraryImport(XenLibrary.ToolLog)]
    internal static partial nint xtl_createlogger_stdiostream(nint f, uint min_level, uint flags);
}
