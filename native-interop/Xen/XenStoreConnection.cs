using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>One connection to xenstored, until it breaks. One thread uses it at a time.</summary>
/// <remarks>Why not libxenstore: its calls block in read(2) or on a condition variable for as long as xenstored takes, nothing
/// ends them, and closing its handle meanwhile is a race. The messages are Xen's public interface (<c>docs/misc/xenstore.txt</c>).
/// </remarks>
internal sealed class XenStoreConnection : IDisposable
{
    [NotInC("Managed only.")]
    private const int RefusedAgain = 10;

    private readonly SafeFileHandle _handle;
    private readonly bool _isSocket;
    private readonly Queue<XenStoreEvent> _events = new();
    private readonly byte[] _input = new byte[Unsafe.SizeOf<XsHeader>() + XsWire.XENSTORE_PAYLOAD_MAX];
    private int _filled;
    private uint _requests;

    private XenStoreConnection(SafeFileHandle handle, bool isSocket)
    {
        _handle = handle;
        _isSocket = isSocket;
    }

    /// <summary>What becomes readable when xenstored says something, or the connection breaks.</summary>
    internal SafeFileHandle Handle => _handle;

    /// <summary>Connects.</summary>
    /// <param name="socket">The daemon's socket.</param>
    /// <param name="devices">The kernel's own connection, for a xenstored in a domain of its own: used where there is no socket.</param>
    /// <param name="deadline">When it has to be done.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <exception cref="XenException">It cannot be reached, with the errno.</exception>
    internal static XenStoreConnection Open(
        string socket, IReadOnlyList<string> devices, Deadline deadline, CancellationToken cancellationToken)
    {
        const string Operation = "connect to xenstored";
        if (!File.Exists(socket))
        {
            RunningHypervisor.RequireDevice([socket, .. devices], Operation);
            return OpenDevice(devices.First(File.Exists), Operation);
        }

        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using var connecting = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                // Otherwise it waits for as long as a xenstored that hangs has more connections to accept than it allows.
                connecting.Blocking = false;
                connecting.Connect(new UnixDomainSocketEndPoint(socket));
                return new XenStoreConnection(Own(connecting, Operation), isSocket: true);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                // Asked again below.
            }
            catch (SocketException e)
            {
                throw XenErrors.Create(XenErrorSource.Device, $"{Operation} at {socket}", e.NativeErrorCode);
            }

            if (deadline.Left == TimeSpan.Zero)
            {
                throw XenErrors.Create(XenErrorSource.Store, $"{Operation} at {socket}", Errno.ETIMEDOUT);
            }

            _ = cancellationToken.WaitHandle.WaitOne(RefusedAgain);
        }
    }

    /// <summary>Asks, and waits for the answer.</summary>
    /// <param name="type">A value of <see cref="XsWire"/>.</param>
    /// <param name="transaction">The transaction; 0 for none.</param>
    /// <param name="body">The request's body.</param>
    /// <param name="deadline">When the answer has to be there.</param>
    /// <param name="cancellationToken">Ends the wait; the connection is of no use then.</param>
    /// <returns>The answer's body.</returns>
    /// <exception cref="XenStoreLostException">The connection broke.</exception>
    /// <exception cref="XenStoreRefusal">xenstored says that it did not do it.</exception>
    /// <exception cref="TimeoutException">There is no answer; the connection is of no use any more.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the connection is of no use any more.</exception>
    internal byte[] Exchange(
        uint type, uint transaction, ReadOnlySpan<byte> body, Deadline deadline, CancellationToken cancellationToken)
    {
        uint request = ++_requests;
        byte[] message = new byte[Unsafe.SizeOf<XsHeader>() + body.Length];
        MemoryMarshal.Write(message, new XsHeader { type = type, req_id = request, tx_id = transaction, len = (uint)body.Length });
        body.CopyTo(message.AsSpan(Unsafe.SizeOf<XsHeader>()));
        Send(message, deadline, cancellationToken);
        while (true)
        {
            if (!TryTake(out XsHeader header, out byte[]? answer))
            {
                Await(Poll.POLLIN, deadline, cancellationToken);
                Fill(mayBeDone: true);
            }
            else if (header.type == XsWire.XS_WATCH_EVENT)
            {
                Queue(answer);
            }
            else if (header.req_id != request || (header.type != type && header.type != XsWire.XS_ERROR))
            {
                throw new XenStoreLostException(Errno.EIO, mayBeDone: true);
            }
            else
            {
                return header.type != XsWire.XS_ERROR ? answer
                    : throw new XenStoreRefusal(ErrnoOf(Encoding.UTF8.GetString(answer).TrimEnd('\0')));
            }
        }
    }

    /// <summary>Takes the next watch event, where one has come. Does not wait.</summary>
    /// <exception cref="XenStoreLostException">The connection broke, and all events before that were taken.</exception>
    internal bool TryTakeEvent([NotNullWhen(true)] out XenStoreEvent? watchEvent)
    {
        while (!_events.TryDequeue(out watchEvent))
        {
            if (TryTake(out XsHeader header, out byte[]? body))
            {
                if (header.type != XsWire.XS_WATCH_EVENT)
                {
                    // Nobody has asked.
                    throw new XenStoreLostException(Errno.EIO, mayBeDone: false);
                }

                Queue(body);
            }
            else if (!Fill(mayBeDone: false))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Drops the events of a watch that has come, and was ended.</summary>
    internal void Forget(string path, string token)
    {
        XenStoreEvent[] all = [.. _events];
        _events.Clear();
        foreach (XenStoreEvent kept in all)
        {
            if (kept.Token != token
                || (kept.Path != path && !kept.Path.StartsWith(path.TrimEnd('/') + "/", StringComparison.Ordinal)))
            {
                _events.Enqueue(kept);
            }
        }
    }

    /// <summary>Whether events may wait that came with an answer: nothing more need come for them to be taken.</summary>
    internal bool HasEvents => _events.Count > 0 || _filled > 0;

    /// <summary>Closes it. Who waits for an answer learns that it broke.</summary>
    public void Dispose()
    {
        if (_isSocket && !_handle.IsClosed)
        {
            _ = LibC.shutdown(Descriptor, LibC.SHUT_RDWR);
        }

        _handle.Dispose();
    }

    // .NET's handle of a socket waits, when it is closed, for whoever polls it.
    private static SafeFileHandle Own(Socket socket, string operation)
    {
        int fd = LibC.fcntl((int)socket.Handle, LibC.F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
        {
            XenErrors.Throw(XenErrorSource.Device, operation);
        }

        return new SafeFileHandle(fd, ownsHandle: true);
    }

    private static XenStoreConnection OpenDevice(string path, string operation)
    {
        try
        {
            // The kernel takes one message a call, and gives what there is; poll(2) tells when there is something.
            return new XenStoreConnection(
                File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite),
                isSocket: false);
        }
        catch (UnauthorizedAccessException)
        {
            throw XenErrors.Create(XenErrorSource.Device, $"{operation} by {path}", Errno.EACCES);
        }
        catch (IOException)
        {
            throw XenErrors.Create(XenErrorSource.Device, $"{operation} by {path}", Errno.ENODEV);
        }
    }

    // A body of two texts, each with a zero behind it.
    private void Queue(byte[] body)
    {
        string[] parts = Encoding.UTF8.GetString(body).Split('\0');
        if (parts.Length < 2)
        {
            throw new XenStoreLostException(Errno.EIO, mayBeDone: true);
        }

        _events.Enqueue(new XenStoreEvent(parts[0], parts[1]));
    }

    private void Send(byte[] message, Deadline deadline, CancellationToken cancellationToken)
    {
        int sent = 0;
        while (sent < message.Length)
        {
            // A xenstored that hangs takes no more than fits into the socket.
            Await(Poll.POLLOUT, deadline, cancellationToken);
            long written = Write(message.AsSpan(sent));
            if (written > 0)
            {
                sent += (int)written;
            }
            else if (written == 0 || Marshal.GetLastPInvokeError() is not (Errno.EAGAIN or Errno.EINTR))
            {
                throw new XenStoreLostException(written == 0 ? 0 : Marshal.GetLastPInvokeError(), mayBeDone: false);
            }
        }
    }

    private long Write(ReadOnlySpan<byte> octets)
    {
        // unsafe: the calls take pointers. Safe: the span is pinned for as long as the call.
        unsafe
        {
            fixed (byte* start = octets)
            {
                return _isSocket
                    ? (long)LibC.send(Descriptor, start, octets.Length, LibC.MSG_NOSIGNAL | LibC.MSG_DONTWAIT)
                    : (long)LibC.write(Descriptor, start, octets.Length);
            }
        }
    }

    // False where nothing has come. Not to be called for a device without poll(2) having said so: its read waits.
    private bool Fill(bool mayBeDone)
    {
        if (!_isSocket && !ReadinessWait.Wait(_handle, Descriptor, Poll.POLLIN, TimeSpan.Zero, CancellationToken.None))
        {
            return false;
        }

        long length = Read(_input.AsSpan(_filled));
        if (length > 0)
        {
            _filled += (int)length;
            return true;
        }

        int errno = length == 0 ? 0 : Marshal.GetLastPInvokeError();
        return errno is Errno.EAGAIN or Errno.EINTR ? false : throw new XenStoreLostException(errno, mayBeDone);
    }

    private long Read(Span<byte> octets)
    {
        // unsafe, safe: as above.
        unsafe
        {
            fixed (byte* start = octets)
            {
                return _isSocket
                    ? (long)LibC.recv(Descriptor, start, octets.Length, LibC.MSG_DONTWAIT)
                    : (long)LibC.read(Descriptor, start, octets.Length);
            }
        }
    }

    private bool TryTake(out XsHeader header, [NotNullWhen(true)] out byte[]? body)
    {
        body = null;
        header = default;
        int start = Unsafe.SizeOf<XsHeader>();
        if (_filled < start)
        {
            return false;
        }

        header = MemoryMarshal.Read<XsHeader>(_input);
        if (header.len > XsWire.XENSTORE_PAYLOAD_MAX)
        {
            throw new XenStoreLostException(Errno.EIO, mayBeDone: true);
        }

        int end = start + (int)header.len;
        if (_filled < end)
        {
            return false;
        }

        body = _input[start..end];
        _input.AsSpan(end.._filled).CopyTo(_input);
        _filled -= end;
        return true;
    }

    private void Await(short events, Deadline deadline, CancellationToken cancellationToken)
    {
        if (!ReadinessWait.Wait(_handle, Descriptor, events, deadline.Left, cancellationToken))
        {
            throw new TimeoutException();
        }
    }

    private int Descriptor => (int)_handle.DangerousGetHandle();

    // xenstored tells errors by their names; libxenstore, too, takes one that it does not know for EINVAL.
    private static int ErrnoOf(string name) => name switch
    {
        "EACCES" => Errno.EACCES,
        "EEXIST" => Errno.EEXIST,
        "EISDIR" => Errno.EISDIR,
        "ENOENT" => Errno.ENOENT,
        "ENOMEM" => Errno.ENOMEM,
        "ENOSPC" => Errno.ENOSPC,
        "EIO" => Errno.EIO,
        "ENOTEMPTY" => Errno.ENOTEMPTY,
        "ENOSYS" => Errno.ENOSYS,
        "EROFS" => Errno.EROFS,
        "EBUSY" => Errno.EBUSY,
        "EAGAIN" => Errno.EAGAIN,
        "E2BIG" => Errno.E2BIG,
        "EPERM" => Errno.EPERM,
        _ => Errno.EINVAL,
    };
}

/// <summary>xenstored did not do what it was asked; nothing has changed.</summary>
/// <param name="errno">Why.</param>
internal sealed class XenStoreRefusal(int errno) : Exception
{
    /// <summary>Why.</summary>
    internal int Errno => errno;
}
