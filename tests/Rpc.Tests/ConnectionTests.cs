using System.Net;
using System.Net.Sockets;
using XenTwoLevelCkpt.Rpc.Client;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Connections that break, or are dead without anybody being told.</summary>
public class ConnectionTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_connection_that_breaks_ends_the_call_on_both_sides(bool reading)
    {
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(Echoing(stopped));
        using var relay = new Relay(host.Address.Port);
        using var channel = RpcChannel.ForTcp("127.0.0.1", relay.Port);
        using BidirectionalCall<Note, Note> call = await OpenAsync(channel);
        relay.Cut();
        Assert.Equal(StatusCode.Unavailable, (await StatusTests.FailsAsync(async () =>
        {
            while (true)
            {
                if (reading)
                {
                    _ = await call.ReadAsync();
                }
                else
                {
                    await call.WriteAsync(new Note());
                }
            }
        })).Code);
        await stopped.Task.WaitAsync(TestHost.Patience);

        // The channel opens another connection.
        Assert.Equal(4, (await channel.UnaryAsync(EchoMethods.Once, new Note { Number = 4 })).Number);
    }

    [Fact]
    public async Task A_dead_connection_is_found_by_pings()
    {
        await using TestHost host = await TestHost.StartAsync(Echoing(new TaskCompletionSource()));
        using var relay = new Relay(host.Address.Port);
        using var channel = RpcChannel.ForTcp("127.0.0.1", relay.Port, new RpcChannelOptions
        {
            KeepAlivePingDelay = TimeSpan.FromSeconds(1),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(15),
            ConnectTimeout = TestHost.Patience,
        });
        using BidirectionalCall<Note, Note> call = await OpenAsync(channel);
        relay.Freeze();
        Assert.Equal(StatusCode.Unavailable, (await StatusTests.FailsAsync(async () => await call.ReadAsync())).Code);
    }

    private static EchoService Echoing(TaskCompletionSource stopped) => new()
    {
        Each = async (requests, responses, call) =>
        {
            try
            {
                while (await requests.ReadAsync() is { } note)
                {
                    await responses.WriteAsync(note);
                }
            }
            finally
            {
                _ = stopped.TrySetResult();
            }
        },
    };

    private static async Task<BidirectionalCall<Note, Note>> OpenAsync(RpcChannel channel)
    {
        BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        await call.WriteAsync(new Note { Number = 1 });
        Assert.Equal(1, (await call.ReadAsync())!.Number);
        return call;
    }

    /// <summary>Passes TCP connections on.</summary>
    private sealed class Relay : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly List<Socket> _sockets = [];
        private readonly int _target;
        private volatile bool _frozen;

        internal Relay(int target)
        {
            _target = target;
            _listener.Start();
            _ = AcceptAsync();
        }

        internal int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        /// <summary>Resets all connections. Later ones are passed on.</summary>
        internal void Cut()
        {
            lock (_sockets)
            {
                foreach (Socket socket in _sockets)
                {
                    socket.LingerState = new LingerOption(enable: true, seconds: 0);
                    socket.Dispose();
                }

                _sockets.Clear();
            }
        }

        /// <summary>Passes nothing on any more, and closes nothing.</summary>
        internal void Freeze() => _frozen = true;

        public void Dispose()
        {
            _listener.Dispose();
            Cut();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    Socket from = await _listener.AcceptSocketAsync();
                    var to = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    await to.ConnectAsync(IPAddress.Loopback, _target);
                    lock (_sockets)
                    {
                        _sockets.AddRange([from, to]);
                    }

                    _ = PassAsync(from, to);
                    _ = PassAsync(to, from);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }

        private async Task PassAsync(Socket from, Socket to)
        {
            byte[] buffer = new byte[16 << 10];
            try
            {
                int length;
                while ((length = await from.ReceiveAsync(buffer)) > 0)
                {
                    if (!_frozen)
                    {
                        _ = await to.SendAsync(buffer.AsMemory(0, length));
                    }
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Cut.
            }
        }
    }
}
