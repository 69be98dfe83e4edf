using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <summary>The two xenstore nodes of a request to suspend: the one that the guest acts on, and a mark beside it that outlives
/// the process that asked.</summary>
/// <remarks>
/// A guest acknowledges by emptying <c>control/shutdown</c> (Xen, docs/misc/xenstore-paths), which then looks as if
/// nobody had asked. The mark tells: it is there from before the request until after the guest was resumed, or the request
/// was taken back. It is in the toolstack's own part of the store, which goes with the domain.
/// </remarks>
internal static class XenSuspendNodes
{
    private const string Request = "suspend";

    /// <summary>Asks a domain to suspend.</summary>
    internal static void Ask(XenStore store, uint domid, CancellationToken cancellationToken)
    {
        string node = Node(store, domid, cancellationToken);
        store.Write(Mark(domid), Request, cancellationToken);
        store.Write(node, Request, cancellationToken);
    }

    /// <summary>What waits to be acknowledged by a domain; null or empty for nothing.</summary>
    internal static string? Waiting(XenStore store, uint domid, CancellationToken cancellationToken) =>
        store.Read(Node(store, domid, cancellationToken), cancellationToken);

    /// <summary>True where a request was made that may not have come to its end.</summary>
    internal static bool WasAsked(XenStore store, uint domid) => store.Exists(Mark(domid));

    /// <summary>Ends a request whose guest was resumed.</summary>
    internal static void End(XenStore store, uint domid) => store.Remove(Mark(domid));

    /// <summary>Takes a request back.</summary>
    /// <returns>False where the guest has acknowledged it meanwhile. Only a transaction can tell.</returns>
    internal static bool Withdraw(XenStore store, uint domid)
    {
        string node = Node(store, domid);
        while (true)
        {
            using XenStoreTransaction transaction = store.BeginTransaction();
            if (transaction.Read(node) != Request)
            {
                return false;
            }

            transaction.Write(node, "");
            transaction.Remove(Mark(domid));
            if (transaction.Commit())
            {
                return true;
            }
        }
    }

    private static string Node(XenStore store, uint domid, CancellationToken cancellationToken = default) =>
        $"{store.GetDomainPath(domid, cancellationToken)}/control/shutdown";

    private static string Mark(uint domid) => $"/libxl/{domid}/xtlckpt-suspend";
}
