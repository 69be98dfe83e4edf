using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xenstore.h</c> of libxenstore 4. A C <c>bool</c> is a <see cref="byte"/>: false (0) means failure
/// with errno set. Handles may be used by several threads at a time.</summary>
[CHeader("xenstore.h")]
internal static partial class Xenstore
{
    [CConstant] internal const uint XBT_NULL = 0;
    [CConstant] internal const int XENSTORE_PAYLOAD_MAX = 4096;
    [CConstant] internal const int XENSTORE_ABS_PATH_MAX = 3072;

    /// <summary>After an unwatch no event of that watch is delivered any more.</summary>
    [CConstant] internal const uint XS_UNWATCH_FILTER = 1 << 2;

    /// <summary>Index of the changed path in a watch event.</summary>
    [CConstant] internal const int XS_WATCH_PATH = 0;

    /// <summary>Index of the watch's token in a watch event.</summary>
    [CConstant] internal const int XS_WATCH_TOKEN = 1;

    /// <summary>Connects to xenstored. Returns a handle for <see cref="xs_close"/>, or null with errno set.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial nint xs_open(nuint flags);

    /// <summary>Closes a connection; its watches and transactions end.</summary>
    [LibraryImport(XenLibrary.Store)]
    internal static partial void xs_close(nint xsh);

    /// <summary>Lists the children of a node. Returns one block that the caller frees with <c>free</c>: an array of
    /// <paramref name="num"/> pointers to strings inside the block; or null with errno set.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint xs_directory(XenStore h, uint t, string path, out uint num);

    /// <summary>Reads a node's value. Returns a block of <paramref name="len"/> bytes and a NUL that the caller
    /// frees with <c>free</c>, or null with errno set (ENOENT where there is no such node).</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint xs_read(XenStore h, uint t, string path, out uint len);

    /// <summary>Writes a node's value and makes the node, and its parents, where they do not exist.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte xs_write(XenStore h, uint t, string path, ref byte data, uint len);

    /// <summary>Removes a node and all below it; ENOENT where neither it nor its parent exists.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte xs_rm(XenStore h, uint t, string path);

    /// <summary>Starts a transaction. Returns its id, or 0 (<see cref="XBT_NULL"/>) with errno set. The caller ends
    /// it with <see cref="xs_transaction_end"/>.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial uint xs_transaction_start(XenStore h);

    /// <summary>Commits (<paramref name="abort"/> 0) or abandons a transaction; EAGAIN where somebody else changed
    /// what it read.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial byte xs_transaction_end(XenStore h, uint t, byte abort);

    /// <summary>Watches a node and all below it. The first event comes at once. EEXIST for a watch that is set.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte xs_watch(XenStore h, string path, string token);

    /// <summary>Ends a watch; ENOENT where there is none.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte xs_unwatch(XenStore h, string path, string token);

    /// <summary>Takes the next watch event. Returns one block that the caller frees with <c>free</c>: pointers to
    /// path and token, both inside the block; or null with errno set, EAGAIN where no event waits.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial nint xs_check_watch(XenStore h);

    /// <summary>Returns the descriptor that is readable while events wait, or -1 with errno set; the handle keeps
    /// it.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial int xs_fileno(XenStore h);

    /// <summary>Returns a domain's home path, which the caller frees with <c>free</c>, or null with errno set. Also
    /// for domains that do not exist.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial nint xs_get_domain_path(XenStore h, uint domid);

    /// <summary>Tells xenstored that a domain runs again after a suspend; ENOENT for a domain it does not know.</summary>
    [LibraryImport(XenLibrary.Store, SetLastError = true)]
    internal static partial byte xs_resume_domain(XenStore h, uint domid);
}
