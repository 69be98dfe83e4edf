namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A xenstore transaction: sees the store as it was at its start, and changes it at once or not at all.</summary>
/// <remarks>One thread uses it at a time. It belongs to the connection that it was started on, and ends with it: its calls
/// throw then, and nothing of it was done.</remarks>
public sealed class XenStoreTransaction : IDisposable
{
    private readonly XenStore _store;
    private readonly uint _id;
    private bool _ended;

    internal XenStoreTransaction(XenStore store, XenStoreConnection connection, uint id)
    {
        _store = store;
        Connection = connection;
        _id = id;
    }

    /// <summary>What it was started on.</summary>
    internal XenStoreConnection Connection { get; }

    /// <summary>xenstored's number for it.</summary>
    internal uint Id => _id;

    /// <inheritdoc cref="XenStore.Read(string, CancellationToken)"/>
    public string? Read(string path, CancellationToken cancellationToken = default) =>
        _store.Read(Open(), path, cancellationToken);

    /// <inheritdoc cref="XenStore.Write(string, string, CancellationToken)"/>
    public void Write(string path, string value, CancellationToken cancellationToken = default) =>
        _store.Write(Open(), path, value, cancellationToken);

    /// <inheritdoc cref="XenStore.Remove(string, CancellationToken)"/>
    public bool Remove(string path, CancellationToken cancellationToken = default) =>
        _store.Remove(Open(), path, cancellationToken);

    /// <inheritdoc cref="XenStore.List(string, CancellationToken)"/>
    public IReadOnlyList<string> List(string path, CancellationToken cancellationToken = default) =>
        _store.List(Open(), path, cancellationToken);

    /// <summary>Ends the transaction and makes its changes.</summary>
    /// <param name="cancellationToken">Ends the call; the changes may have been made all the same.</param>
    /// <returns>False where somebody else changed meanwhile what it touches: nothing was changed, and the caller
    /// starts a new transaction.</returns>
    public bool Commit(CancellationToken cancellationToken = default)
    {
        XenStoreTransaction open = Open();
        _ended = true;
        return _store.End(open, commit: true, cancellationToken);
    }

    /// <summary>Abandons the transaction unless it was committed.</summary>
    public void Dispose()
    {
        if (!_ended)
        {
            _ended = true;
            try
            {
                _ = _store.End(this, commit: false, CancellationToken.None);
            }
            catch (Exception e) when (e is XenException or ObjectDisposedException)
            {
                // A failure leaves nothing to do: xenstored drops the transaction with the connection.
            }
        }
    }

    private XenStoreTransaction Open()
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        return this;
    }
}
