using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>A xenstore transaction: sees the store as it was at its start, and changes it at once or not at all.</summary>
/// <remarks>One thread uses it at a time.</remarks>
public sealed class XenStoreTransaction : IDisposable
{
    private readonly XenStore _store;
    private readonly uint _id;
    private bool _ended;

    internal XenStoreTransaction(XenStore store, uint id)
    {
        _store = store;
        _id = id;
    }

    /// <inheritdoc cref="XenStore.Read(string)"/>
    public string? Read(string path) => _store.Read(Id(), path);

    /// <inheritdoc cref="XenStore.Write(string, string)"/>
    public void Write(string path, string value) => _store.Write(Id(), path, value);

    /// <inheritdoc cref="XenStore.Remove(string)"/>
    public bool Remove(string path) => _store.Remove(Id(), path);

    /// <inheritdoc cref="XenStore.List(string)"/>
    public IReadOnlyList<string> List(string path) => _store.List(Id(), path);

    /// <summary>Ends the transaction and makes its changes.</summary>
    /// <returns>False where somebody else changed meanwhile what it touches: nothing was changed, and the caller
    /// starts a new transaction.</returns>
    public bool Commit()
    {
        uint id = Id();
        _ended = true;
        if (Xenstore.xs_transaction_end(_store, id, 0) != 0)
        {
            return true;
        }

        if (Marshal.GetLastPInvokeError() != Errno.EAGAIN)
        {
            XenErrors.Throw(XenErrorSource.Store, "commit a xenstore transaction");
        }

        return false;
    }

    /// <summary>Abandons the transaction unless it was committed.</summary>
    public void Dispose()
    {
        if (!_ended && !_store.IsClosed)
        {
            // A failure leaves nothing to do: xenstored drops the transaction with the connection.
            _ended = true;
            _ = Xenstore.xs_transaction_end(_store, _id, 1);
        }
    }

    private uint Id()
    {
        ObjectDisposedException.ThrowIf(_ended, this);
        return _id;
    }
}
