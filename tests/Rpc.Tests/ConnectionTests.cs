using System.Net;
using System.Net.Sockets;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc.V1;
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
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode(), channel: new FakeChannel { Ended = stopped });
        using var relay = new Relay(host.Address.Port);
        using var channel = RpcChannel.ForTcp("127.0.0.1", relay.Port);
        using ChannelCall call = await OpenAsync(channel);
        relay.Cut();
        Assert.Equal(StatusCode.Unavailable, (await TestHost.FailsAsync(async () =>
        {
            while (true)
            {
                if (reading)
                {
                    _ = await call.ReadAsync();
                }
                else
                {
                    await call.WriteAsync(new ChannelMessage());
                }
            }
        })).Code);
        await stopped.Task.WaitAsync(TestHost.Patience);

        // The channel opens another connection.
        using ChannelCall next = await OpenAsync(channel);
    }

    [Fact]
    public async Task A_dead_connection_is_found_by_pings()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode());
        using var relay = new Relay(host.Address.Port);
        using var channel = RpcChannel.ForTcp("127.0.0.1", relay.Port, new RpcChannelOptions
        {
            KeepAlivePingDelay = TimeSpan.FromSeconds(1),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(15),
            ConnectTimeout = TestHost.Patience,
        });
        using ChannelCall call = await OpenAsync(channel);
        relay.Freeze();
        Assert.Equal(StatusCode.Unavailable, (await TestHost.FailsAsync(() => call.ReadAsync().AsTask())).Code);
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_refused_until_one_ends()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService(), mostConnections: 2);
        RpcChannel[] channels = [.. Enumerable.Range(0, 3).Select(_ => host.Open())];
        async Task<long> AskAsync(RpcChannel channel) =>
            (await new Echo.EchoClient(channel.Invoker).OnceAsync(new Note { Number = 5 })).Number;

        Assert.Equal(5, await AskAsync(channels[0]));
        Assert.Equal(5, await AskAsync(channels[1]));
        Assert.Equal(StatusCode.Unavailable, (await TestHost.FailsAsync(() => AskAsync(channels[2]))).Code);
        using RpcChannel other = host.Open(Transport.UnixSocket);
        Assert.Equal(5, await AskAsync(other));
        channels[0].Dispose();
        while (true)
        {
            try
            {
                Assert.Equal(5, await AskAsync(channels[2]));
                break;
            }
            catch (StatusException e) when (e.Code == StatusCode.Unavailable)
            {
                // The server has not heard yet that the first one is gone.
                await Task.Delay(10);
            }
        }

        Array.ForEach(channels, c => c.Dispose());
    }

    private static async Task<ChannelCall> OpenAsync(RpcChannel channel)
    {
        ChannelCall call = NodeChannel.Exchange(channel);
        await call.WriteAsync(new ChannelMessage { Hello = new Hello { Node = "alpha" } });
        Assert.Equal("beta", (await call.ReadAsync())!.Hello.Node);
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
