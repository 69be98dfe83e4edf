using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <content>One call: its limit, and what becomes of it where the connection breaks.</content>
public sealed partial class XenStore
{
    private byte[] Talk(
        Call call, XenStoreTransaction? transaction, CancellationToken cancellationToken,
        Action<XenStoreConnection>? done = null)
    {
        if (call.Body.Length > XsWire.XENSTORE_PAYLOAD_MAX)
        {
            throw XenErrors.Create(XenErrorSource.Store, call.Operation, Errno.E2BIG);
        }

        Deadline deadline = Deadline(call.Limit);
        Enter(call.Operation, deadline, cancellationToken);
        try
        {
            // Once more where xenstored had closed the connection before, as after it was started anew.
            for (bool again = false; ; again = true)
            {
                try
                {
                    if (transaction is not null && transaction.Connection != _connection)
                    {
                        throw Lost(call, new XenStoreLostException(0, mayBeDone: false), inTransaction: true);
                    }

                    XenStoreConnection connection = Connected(deadline, cancellationToken);
                    byte[] answer = connection.Exchange(
                        call.Type, transaction?.Id ?? NoTransaction, call.Body, deadline, cancellationToken);
                    _silent = false;
                    done?.Invoke(connection);
                    return answer;
                }
                catch (XenStoreLostException e)
                {
                    Drop();
                    if (again || transaction is not null || (e.MayBeDone && !call.Repeatable))
                    {
                        throw Lost(call, e, transaction is not null);
                    }
                }
            }
        }
        catch (XenStoreRefusal e)
        {
            _silent = false;
            throw XenErrors.Create(XenErrorSource.Store, call.Operation, e.Errno);
        }
        catch (TimeoutException)
        {
            // Its answer may come yet, and would be taken for the next one's.
            Drop();
            _silent = true;
            throw XenErrors.Create(XenErrorSource.Store, call.Operation, Errno.ETIMEDOUT);
        }
        catch (XenTimeoutException)
        {
            Drop();
            _silent = true;
            throw;
        }
        catch (OperationCanceledException)
        {
            Drop();
            throw;
        }
        finally
        {
            if (_connection?.HasEvents == true)
            {
                _nudge.Ring();
            }

            _ = _gate.Release();
        }
    }

    private byte[]? TalkOrMissing(Call call, XenStoreTransaction? transaction, CancellationToken cancellationToken)
    {
        try
        {
            return Talk(call, transaction, cancellationToken);
        }
        catch (XenNotFoundException)
        {
            return null;
        }
    }

    private Deadline Deadline(TimeSpan? limit = null)
    {
        TimeSpan most = limit ?? _options.Limit;
        return new Deadline(_silent && _options.SilentLimit < most ? _options.SilentLimit : most);
    }

    private void Enter(string operation, Deadline deadline, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!_gate.Wait(deadline.Left, cancellationToken))
        {
            throw XenErrors.Create(XenErrorSource.Store, operation, Errno.ETIMEDOUT);
        }
    }

    // Whoever waits for watch events finds the new connection.
    private void Drop()
    {
        _connection?.Dispose();
        _connection = null;
        _nudge.Ring();
    }

    private XenStoreConnection Connected(Deadline deadline, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_connection is { } there)
        {
            return there;
        }

        XenStoreConnection made = Reconnect(deadline, cancellationToken);
        try
        {
            // The first event of each comes at once: whoever waits looks at what may have happened in between.
            foreach ((string path, string token) in _watches)
            {
                _ = made.Exchange(
                    XsWire.XS_WATCH, NoTransaction, [.. Encode(path), .. Encode(token)], deadline, cancellationToken);
            }
        }
        catch
        {
            made.Dispose();
            throw;
        }

        return _connection = made;
    }

    private XenStoreConnection Reconnect(Deadline deadline, CancellationToken cancellationToken)
    {
        try
        {
            return Connect(deadline, cancellationToken);
        }
        catch (XenUnavailableException e) when (e.Errno == Errno.ENOENT)
        {
            // It was there, so this is a control domain.
            throw new XenUnavailableException(
                e.Operation, e.Errno, $"Could not {e.Operation} at {_options.Socket ?? SocketPath()}: {XenErrors.StoreGone}");
        }
    }

    private XenStoreConnection Connect(Deadline deadline, CancellationToken cancellationToken) =>
        XenStoreConnection.Open(_options.Socket ?? SocketPath(), Devices, deadline, cancellationToken);

    // Where xenstored's own tools look for it.
    private static string SocketPath() =>
        Environment.GetEnvironmentVariable("XENSTORED_PATH")
        ?? Path.Combine(Environment.GetEnvironmentVariable("XENSTORED_RUNDIR") ?? "/var/run/xenstored", "socket");

    private static XenException Lost(Call call, XenStoreLostException lost, bool inTransaction) => XenErrors.Create(
        XenErrorSource.Store, call.Operation, lost.Errno == 0 ? Errno.EPIPE : lost.Errno,
        inTransaction && (call.Type != XsWire.XS_TRANSACTION_END || !lost.MayBeDone) ? " Nothing of the transaction was done."
        : lost.MayBeDone && !call.Repeatable ? " It may have been done."
        : "");

    // What is asked; a repeatable one may be asked again where it may have been done.
    private sealed record Call(uint Type, string Operation, byte[] Body, bool Repeatable)
    {
        /// <summary>Less than the usual limit; null for that.</summary>
        internal TimeSpan? Limit { get; init; }
    }
}
