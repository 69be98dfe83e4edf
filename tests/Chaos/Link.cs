using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace XenTwoLevelCkpt.Chaos;

/// <summary>What a link does to what passes.</summary>
internal enum LinkState
{
    /// <summary>It passes everything on.</summary>
    Open,

    /// <summary>Its connections are broken, and it takes no others.</summary>
    Cut,

    /// <summary>It passes everything on late.</summary>
    Slow,

    /// <summary>Its connections stay open, and nothing passes.</summary>
    Stalled,
}

/// <summary>The link between two nodes: a proxy on either side's behalf, so that it can be broken in ways in which a real
/// one breaks.</summary>
internal sealed class Link : IDisposable
{
    private const int BufferLength = 32 << 10;
    private const int SlowestMs = 80;

    private readonly CancellationTokenSource _end = new();
    private readonly ConcurrentDictionary<Socket, byte> _open = new();
    private readonly List<Socket> _listeners = [];
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile LinkState _state;

    /// <summary>Makes the link.</summary>
    /// <param name="name">How messages name it.</param>
    internal Link(string name) => Name = name;

    internal string Name { get; }

    internal LinkState State
    {
        get => _state;
        set
        {
            _state = value;
            Interlocked.Exchange(ref _changed, new(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
            if (value == LinkState.Cut)
            {
                foreach (Socket socket in _open.Keys)
                {
                    Break(socket);
                }
            }
        }
    }

    /// <summary>Opens a way through the link.</summary>
    /// <param name="target">Where it leads.</param>
    /// <returns>Where it begins.</returns>
    internal IPEndPoint Towards(IPEndPoint target)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _listeners.Add(listener);
        _ = AcceptAsync(listener, target);
        return (IPEndPoint)listener.LocalEndPoint!;
    }

    public void Dispose()
    {
        _end.Cancel();
        _listeners.ForEach(l => l.Dispose());
        foreach (Socket socket in _open.Keys)
        {
            Break(socket);
        }

        _end.Dispose();
    }

    private async Task AcceptAsync(Socket listener, IPEndPoint target)
    {
        while (true)
        {
            Socket near;
            try
            {
                near = await listener.AcceptAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            _ = CarryAsync(near, target);
        }
    }

    private async Task CarryAsync(Socket near, IPEndPoint target)
    {
        var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        _ = _open.TryAdd(near, 0);
        _ = _open.TryAdd(far, 0);
        try
        {
            if (_state != LinkState.Cut)
            {
                await far.ConnectAsync(target);
                await Task.WhenAny(PumpAsync(near, far), PumpAsync(far, near));
            }
        }
        catch (SocketException)
        {
            // Nobody listens there.
        }
        finally
        {
            // Both ways end together, as with a node that dies.
            Break(near);
            Break(far);
        }
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        byte[] buffer = new byte[BufferLength];
        try
        {
            while (await from.ReceiveAsync(buffer.AsMemory()) is > 0 and int length)
            {
                Task changed = _changed.Task;
                while (_state == LinkState.Stalled)
                {
                    await changed.WaitAsync(_end.Token);
                    changed = _changed.Task;
                }

                if (_state == LinkState.Slow)
                {
                    await Task.Delay(Random.Shared.Next(SlowestMs), _end.Token);
                }

                await to.SendAsync(buffer.AsMemory(0, length));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The connection is broken.
        }
    }

    private void Break(Socket socket)
    {
        _ = _open.TryRemove(socket, out _);
        socket.Dispose();
    }
}
