using System.Net;
using System.Net.Sockets;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A TCP port that leads to another one, whose connections can be cut at any octet.</summary>
internal sealed class CuttingProxy : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Lock _lock = new();
    private readonly List<Socket> _sockets = [];
    private bool _disposed;

    internal CuttingProxy()
    {
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _ = AcceptAsync();
    }

    internal int Port { get; }

    /// <summary>Where connections lead; 0 for nowhere.</summary>
    internal int Target { get; set; }

    internal void Cut()
    {
        lock (_lock)
        {
            foreach (Socket socket in _sockets)
            {
                socket.Close(0);
            }

            _sockets.Clear();
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
        }

        _listener.Stop();
        Cut();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket near;
            try
            {
                near = await _listener.AcceptSocketAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            _ = ConnectAsync(near);
        }
    }

    private async Task ConnectAsync(Socket near)
    {
        var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        near.NoDelay = true;
        try
        {
            await far.ConnectAsync(IPAddress.Loopback, Target);
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);

                _sockets.Add(near);
                _sockets.Add(far);
            }

            await Task.WhenAll(PassAsync(near, far), PassAsync(far, near));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Cut.
        }

        near.Close(0);
        far.Close(0);
    }

    private static async Task PassAsync(Socket from, Socket to)
    {
        byte[] buffer = new byte[16 << 10];
        while (await from.ReceiveAsync(buffer) is > 0 and int got)
        {
            for (int sent = 0; sent < got;)
            {
                sent += await to.SendAsync(buffer.AsMemory(sent, got - sent));
            }
        }

        to.Shutdown(SocketShutdown.Send);
    }
}
