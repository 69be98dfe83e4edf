using System.Globalization;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>xenstored, by one connection at a time: one that breaks is made anew, with its watches. Paths and values are UTF-8.
/// </summary>
/// <remarks>
/// <para>May be used by several threads at a time; watch events are taken by one. Calls throw <see cref="XenException"/> and its
/// subclasses: <see cref="XenTimeoutException"/> where xenstored does not answer in time, <see cref="XenUnavailableException"/> where
/// it is not there. No call waits longer than <see cref="XenStoreOptions.Limit"/>, and each ends when its token is
/// cancelled (<see cref="OperationCanceledException"/>).</para>
/// <para>A call that finds the connection broken makes a new one and asks again, unless xenstored may have done already what
/// it was asked to change. A live update of xenstored keeps connections, transactions and watches. One that was killed and
/// started anew knows nothing of the domains that run: that cannot be mended from here (<see cref="Knows"/>).</para>
/// </remarks>
public sealed partial class XenStore : IDisposable
{
    [NotInC("No transaction, XBT_NULL of xenstore.h.")]
    private const uint NoTransaction = 0;

    private static readonly string[] Devices = ["/dev/xen/xenbus", "/proc/xen/xenbus"];

    private readonly XenStoreOptions _options;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly List<(string Path, string Token)> _watches = [];
    private readonly Doorbell _nudge = new();
    private XenStoreConnection? _connection;
    private volatile bool _silent;
    private bool _disposed;

    private XenStore(XenStoreOptions options) => _options = options;

    /// <summary>Connects to xenstored.</summary>
    /// <param name="options">How it is used; null for the defaults.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <returns>A connection that the caller disposes; disposing ends its watches and transactions.</returns>
    /// <exception cref="XenUnavailableException">xenstored is missing.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    /// <exception cref="XenTimeoutException">xenstored takes no more connections.</exception>
    public static XenStore Open(XenStoreOptions? options = null, CancellationToken cancellationToken = default)
    {
        var store = new XenStore(options ?? new XenStoreOptions());
        try
        {
            store._connection = store.Connect(store.Deadline(), cancellationToken);
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>Reads a node.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>The value, or null where there is no such node.</returns>
    public string? Read(string path, CancellationToken cancellationToken = default) => Read(null, path, cancellationToken);

    /// <summary>Writes a node, and makes it and its parents where they do not exist.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="value">The value.</param>
    /// <param name="cancellationToken">Ends the call; the node may have been written all the same.</param>
    public void Write(string path, string value, CancellationToken cancellationToken = default) =>
        Write(null, path, value, cancellationToken);

    /// <summary>Removes a node and all below it.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="cancellationToken">Ends the call; the node may have been removed all the same.</param>
    /// <returns>False where neither the node nor its parent existed. A node that is missing from an existing parent
    /// counts as removed: xenstored does not tell.</returns>
    public bool Remove(string path, CancellationToken cancellationToken = default) => Remove(null, path, cancellationToken);

    /// <summary>Lists the names of a node's children.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>The names, without the path; empty where there are none, or no such node.</returns>
    public IReadOnlyList<string> List(string path, CancellationToken cancellationToken = default) =>
        List(null, path, cancellationToken);

    /// <summary>True where a node exists, whatever its value.</summary>
    /// <param name="path">An absolute path.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public bool Exists(string path, CancellationToken cancellationToken = default) => Read(path, cancellationToken) is not null;

    /// <summary>Starts a transaction: all of its writes take effect at once, or none.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>The transaction; disposing it without a commit abandons it.</returns>
    public XenStoreTransaction BeginTransaction(CancellationToken cancellationToken = default)
    {
        XenStoreConnection? on = null;
        string id = Text(Talk(
            new Call(XsWire.XS_TRANSACTION_START, "start a xenstore transaction", Encode(""), Repeatable: true), null,
            cancellationToken, c => on = c));
        return new XenStoreTransaction(this, on!, uint.Parse(id, NumberStyles.None, CultureInfo.InvariantCulture));
    }

    /// <summary>A domain's home, such as <c>/local/domain/3</c>. Also answers for domains that do not exist.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public string GetDomainPath(uint domid, CancellationToken cancellationToken = default) => Text(Talk(
        new Call(
            XsWire.XS_GET_DOMAIN_PATH, $"ask for the xenstore path of domain {domid}", Encode($"{domid}"), Repeatable: true),
        null, cancellationToken));

    /// <summary>True where xenstored serves a domain. It does not where it was killed and started anew while the domain ran: the
    /// domain's devices, requests to it and the toolstack's hold on it are lost then until the host is started again.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public bool Knows(uint domid, CancellationToken cancellationToken = default) => Text(Talk(
        new Call(
            XsWire.XS_IS_DOMAIN_INTRODUCED, $"ask xenstored for domain {domid}", Encode($"{domid}"), Repeatable: true),
        null, cancellationToken)) == "T";

    /// <summary>Tells xenstored that a domain runs again; belongs after every <see cref="XenInterface.Resume"/>.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="limit">How long it may take, where others wait; null for <see cref="XenStoreOptions.Limit"/>.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public void ResumeDomain(uint domid, TimeSpan? limit = null, CancellationToken cancellationToken = default) => Talk(
        new Call(XsWire.XS_RESUME, $"tell xenstored that domain {domid} runs again", Encode($"{domid}"), Repeatable: true)
        {
            Limit = limit,
        },
        null, cancellationToken);

    /// <summary>True where xenstored has let a call go unanswered, and has not answered one since.</summary>
    public bool IsSilent => _silent;

    /// <inheritdoc/>
    public void Dispose()
    {
        // Not under the gate: whoever holds it may wait for an answer, and learns by this that none comes.
        _disposed = true;
        _connection?.Dispose();
        _nudge.Ring();
        _nudge.Dispose();
    }

    internal string? Read(XenStoreTransaction? transaction, string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        byte[]? value = TalkOrMissing(
            new Call(XsWire.XS_READ, $"read xenstore node {path}", Encode(path), Repeatable: true), transaction, cancellationToken);
        return value is null ? null : Encoding.UTF8.GetString(value);
    }

    internal void Write(XenStoreTransaction? transaction, string path, string value, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(value);

        // Without a zero behind the value.
        byte[] body = [.. Encode(path), .. Encoding.UTF8.GetBytes(value)];
        Talk(new Call(XsWire.XS_WRITE, $"write xenstore node {path}", body, Repeatable: false), transaction, cancellationToken);
    }

    internal bool Remove(XenStoreTransaction? transaction, string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return TalkOrMissing(
            new Call(XsWire.XS_RM, $"remove xenstore node {path}", Encode(path), Repeatable: true), transaction,
            cancellationToken) is not null;
    }

    internal IReadOnlyList<string> List(XenStoreTransaction? transaction, string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var call = new Call(XsWire.XS_DIRECTORY, $"list xenstore node {path}", Encode(path), Repeatable: true);
        try
        {
            return TalkOrMissing(call, transaction, cancellationToken) is { } names ? Names(names) : [];
        }
        catch (XenException e) when (e.Errno == Errno.E2BIG)
        {
            return ListInParts(call with { Type = XsWire.XS_DIRECTORY_PART }, transaction, cancellationToken);
        }
    }

    /// <summary>Ends a transaction.</summary>
    /// <returns>False where it was in conflict.</returns>
    internal bool End(XenStoreTransaction transaction, bool commit, CancellationToken cancellationToken)
    {
        try
        {
            Talk(
                new Call(XsWire.XS_TRANSACTION_END, "end a xenstore transaction", Encode(commit ? "T" : "F"), Repeatable: false),
                transaction, cancellationToken);
            return true;
        }
        catch (XenException e) when (e.Errno == Errno.EAGAIN)
        {
            return false;
        }
    }

    // A body of the directory's generation and a part of its names, from an octet on; the last part ends with a second zero.
    private string[] ListInParts(Call call, XenStoreTransaction? transaction, CancellationToken cancellationToken)
    {
        var names = new List<byte>();
        string? generation = null;
        while (true)
        {
            byte[]? part = TalkOrMissing(
                call with { Body = [.. call.Body, .. Encode($"{names.Count}")] }, transaction, cancellationToken);
            if (part is null)
            {
                return [];
            }

            int length = Array.IndexOf(part, (byte)0);
            string now = Encoding.UTF8.GetString(part, 0, Math.Max(0, length));
            if (generation is not null && now != generation)
            {
                names.Clear();
                generation = null;
                continue;
            }

            generation = now;
            names.AddRange(part.AsSpan(length + 1));
            if (names.Count <= 1 || part.Length == length + 1 || (names[^1] == 0 && names[^2] == 0))
            {
                return Names([.. names]);
            }
        }
    }

    private static string[] Names(byte[] body) =>
        Encoding.UTF8.GetString(body).Split('\0', StringSplitOptions.RemoveEmptyEntries);

    private static byte[] Encode(string text) => Encoding.UTF8.GetBytes(text + "\0");

    private static string Text(byte[] body) => Encoding.UTF8.GetString(body).TrimEnd('\0');
}
