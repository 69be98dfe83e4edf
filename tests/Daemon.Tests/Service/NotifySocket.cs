using System.Net.Sockets;
using System.Text;

namespace XenTwoLevelCkpt.Daemon.Tests.Service;

/// <summary>The service manager's end of sd_notify(3).</summary>
internal sealed class NotifySocket : IDisposable
{
    // Longer than any interval in which the program tells something. A machine that is slower sees a silence too early, and a
    // test that asks for one then asks for less.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(4);

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly byte[] _datagram = new byte[4096];

    internal NotifySocket(string path) => _socket.Bind(new UnixDomainSocketEndPoint(path));

    /// <summary>All that was received.</summary>
    internal List<string> Received { get; } = [];

    public void Dispose() => _socket.Dispose();

    /// <summary>Receives until a datagram has a line.</summary>
    /// <returns>The datagram.</returns>
    internal string Wait(string line)
    {
        while (true)
        {
            string datagram = Receive(TestNode.Patience) ?? throw new TimeoutException($"No '{line}' after: {string.Join(" | ", Received)}");
            if (datagram.Split('\n').Any(l => l.StartsWith(line, StringComparison.Ordinal)))
            {
                return datagram;
            }
        }
    }

    /// <summary>Receives until nothing comes any more.</summary>
    internal void WaitForSilence()
    {
        for (int i = 0; Receive(Silence) is not null; i++)
        {
            if (i > 60)
            {
                throw new TimeoutException($"It does not become silent: {string.Join(" | ", Received)}");
            }
        }
    }

    private string? Receive(TimeSpan patience)
    {
        _socket.ReceiveTimeout = (int)patience.TotalMilliseconds;
        try
        {
            string datagram = Encoding.UTF8.GetString(_datagram, 0, _socket.Receive(_datagram));
            Received.Add(datagram);
            return datagram;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
        {
            return null;
        }
    }
}
