using System.Runtime.InteropServices;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A connection to xenstored. Paths and values are UTF-8.</summary>
/// <remarks>May be used by several threads at a time; watch events are taken by one. Calls throw
/// <see cref="XenException"/> and its subclasses.</remarks>
public sealed partial class XenStore : SafeHandle
{
    private XenStore(nint handle)
        : base(nint.Zero, ownsHandle: true) => SetHandle(handle);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>Connects to xenstored.</summary>
    /// <returns>A connection that the caller disposes; disposing ends its watches and transactions.</returns>
    /// <exception cref="XenUnavailableException">The library, or xenstored, is missing.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    public static XenStore Open()
    {
        const string Operation = "connect to xenstored";
        XenLibraries.Load(XenLibrary.Store);
        RunningHypervisor.RequireDevice([SocketPath(), "/dev/xen/xenbus", "/proc/xen/xenbus"], Operation);
        nint opened = Xenstore.xs_open(Xenstore.XS_UNWATCH_FILTER);
        if (opened == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Device, Operation);
        }

        return new XenStore(opened);
    }

    /// <summary>Reads a node.</summary>
    /// <param name="path">An absolute path.</param>
    /// <returns>The value, or null where there is no such node.</returns>
    public string? Read(string path) => Read(Xenstore.XBT_NULL, path);

    /// <summary>Writes a node, and makes it and its parents where they do not exist.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="value">The value.</param>
    public void Write(string path, string value) => Write(Xenstore.XBT_NULL, path, value);

    /// <summary>Removes a node and all below it.</summary>
    /// <param name="path">An absolute path.</param>
    /// <returns>False where neither the node nor its parent existed. A node that is missing from an existing parent
    /// counts as removed: xenstored does not tell.</returns>
    public bool Remove(string path) => Remove(Xenstore.XBT_NULL, path);

    /// <summary>Lists the names of a node's children.</summary>
    /// <param name="path">An absolute path.</param>
    /// <returns>The names, without the path; empty where there are none, or no such node.</returns>
    public IReadOnlyList<string> List(string path) => List(Xenstore.XBT_NULL, path);

    /// <summary>True where a node exists, whatever its value.</summary>
    /// <param name="path">An absolute path.</param>
    public bool Exists(string path) => Read(path) is not null;

    /// <summary>Starts a transaction: all of its writes take effect at once, or none.</summary>
    /// <returns>The transaction; disposing it without a commit abandons it.</returns>
    public XenStoreTransaction BeginTransaction()
    {
        uint id = Xenstore.xs_transaction_start(this);
        if (id == Xenstore.XBT_NULL)
        {
            XenErrors.Throw(XenErrorSource.Store, "start a xenstore transaction");
        }

        return new XenStoreTransaction(this, id);
    }

    /// <summary>A domain's home, such as <c>/local/domain/3</c>. Also answers for domains that do not exist.</summary>
    /// <param name="domid">The domain's id.</param>
    public string GetDomainPath(uint domid)
    {
        nint path = Xenstore.xs_get_domain_path(this, domid);
        if (path == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Store, $"ask for the xenstore path of domain {domid}");
        }

        try
        {
            return Marshal.PtrToStringUTF8(path)!;
        }
        finally
        {
            Stdlib.free(path);
        }
    }

    /// <summary>Tells xenstored that a domain runs again; belongs after every <see cref="XenInterface.Resume"/>.</summary>
    /// <param name="domid">The domain's id.</param>
    public void ResumeDomain(uint domid)
    {
        if (Xenstore.xs_resume_domain(this, domid) == 0)
        {
            XenErrors.Throw(XenErrorSource.Store, $"tell xenstored that domain {domid} runs again");
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Xenstore.xs_close(handle);
        return true;
    }

    internal string? Read(uint transaction, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        nint value = Xenstore.xs_read(this, transaction, path, out uint length);
        if (value == nint.Zero)
        {
            return NotFoundOrThrow("read", path) ? null : "";
        }

        try
        {
            return Marshal.PtrToStringUTF8(value, (int)length);
        }
        finally
        {
            Stdlib.free(value);
        }
    }

    internal void Write(uint transaction, string path, string value)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(value);
        byte[] bytes = Encoding.UTF8.GetBytes(value);
        if (Xenstore.xs_write(
                this, transaction, path, ref MemoryMarshal.GetArrayDataReference(bytes), (uint)bytes.Length) == 0)
        {
            XenErrors.Throw(XenErrorSource.Store, $"write xenstore node {path}");
        }
    }

    internal bool Remove(uint transaction, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Xenstore.xs_rm(this, transaction, path) != 0 || !NotFoundOrThrow("remove", path);
    }

    internal IReadOnlyList<string> List(uint transaction, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        nint block = Xenstore.xs_directory(this, transaction, path, out uint count);
        if (block == nint.Zero)
        {
            NotFoundOrThrow("list", path);
            return [];
        }

        try
        {
            var names = new string[count];
            for (int i = 0; i < names.Length; i++)
            {
                names[i] = Marshal.PtrToStringUTF8(Marshal.ReadIntPtr(block, i * nint.Size))!;
            }

            return names;
        }
        finally
        {
            Stdlib.free(block);
        }
    }

    // Where libxenstore looks for the daemon, which finds its own place by the same variables.
    private static string SocketPath() =>
        Environment.GetEnvironmentVariable("XENSTORED_PATH")
        ?? Path.Combine(Environment.GetEnvironmentVariable("XENSTORED_RUNDIR") ?? "/var/run/xenstored", "socket");

    // True for ENOENT; throws for all else.
    private static bool NotFoundOrThrow(string verb, string path)
    {
        if (Marshal.GetLastPInvokeError() != Errno.ENOENT)
        {
            XenErrors.Throw(XenErrorSource.Store, $"{verb} xenstore node {path}");
        }

        return true;
    }
}
