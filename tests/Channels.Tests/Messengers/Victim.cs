using System.Collections.Concurrent;
using Google.Protobuf;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>A node, and what a peer says to it word by word. The peers' names come before the node's, so they open.
/// </summary>
internal sealed class Victim : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("victim-");
    private MessengerHost _host = null!;
    private RpcChannel _channel = null!;

    internal Guid Cluster { get; } = Guid.NewGuid();

    internal ConcurrentQueue<string> Log { get; } = new();

    internal PromptCheckpoints Checkpoints { get; } = new();

    internal GuestNetworkUplink Uplink { get; } = new();

    /// <summary>What is there in its place; null for nothing.</summary>
    internal IUplink? Other { get; private init; }

    internal NodeMessenger Messenger { get; private set; } = null!;

    internal ChannelLog ChannelLog => Messenger.Log;

    internal static async Task<Victim> StartAsync(
        bool start = true, TimeSpan? patience = null, TimeSpan? helloPatience = null, IUplink? uplink = null, long? window = null,
        long? waiting = null, int? floodLimit = null)
    {
        var victim = new Victim { Other = uplink };
        victim.Messenger = NodeMessenger.Create("bcs", new NodeMessengerOptions
        {
            Cluster = victim.Cluster,
            Node = "victim",
            Peers = [new PeerAddress("alice", "127.0.0.1", 1), new PeerAddress("bob", "127.0.0.1", 1)],
            LogDirectory = victim._folder.FullName,
            HeartbeatInterval = TimeSpan.FromHours(1),
            Patience = patience ?? TimeSpan.FromHours(1),
            HelloPatience = helloPatience ?? TimeSpan.FromHours(1),
            WindowBytes = window ?? (16 << 20),
            WaitingBytes = waiting ?? (4 << 20),
            FloodLimit = floodLimit,
        }, uplink ?? victim.Uplink, victim.Checkpoints, new Collector(victim.Log, LogLevel.Warning));
        victim.Checkpoints.Messenger = victim.Messenger;
        victim._host = await MessengerHost.StartAsync(victim.Messenger, new Collector(victim.Log, LogLevel.Warning));
        victim._channel = RpcChannel.ForTcp(
            "127.0.0.1", victim._host.Port, new RpcChannelOptions { MaxSendLength = 16 << 20, ConnectTimeout = TimeSpan.FromMinutes(3) });
        if (start)
        {
            victim.Messenger.Start();
        }

        return victim;
    }

    internal ChannelMessage Hello(string node = "alice", ulong incarnation = 0, ulong received = 0) => new()
    {
        Hello = new Hello
        {
            ProtocolVersion = 1,
            ClusterId = Cluster.ToString("D"),
            Node = node,
            Incarnation = incarnation,
            ReceivedThrough = received,
        },
    };

    internal static ChannelMessage Batch(ulong sequence, ulong sn = 0, ulong incarnation = 0)
    {
        byte[] frames = new byte[FrameBatch.Prefix + FrameBatch.MinFrame];
        int used = 0;
        _ = FrameBatch.TryAppend(frames, ref used, new byte[FrameBatch.MinFrame]);
        return new ChannelMessage
        {
            Batch = new Batch
            {
                Incarnation = incarnation,
                Sn = sn,
                Sequence = sequence,
                FrameCount = 1,
                Frames = ByteString.CopyFrom(frames),
            },
        };
    }

    /// <summary>Opens a stream.</summary>
    internal ChannelCall Exchange() => NodeChannel.Exchange(_channel);

    /// <summary>Opens a stream and waits for the node's Hello.</summary>
    internal async Task<ChannelCall> OpenAsync(ChannelMessage hello)
    {
        ChannelCall call = Exchange();
        await call.WriteAsync(hello);
        _ = (await call.ReadAsync())!.Hello.Node;
        return call;
    }

    /// <summary>Reads until an acknowledgement comes.</summary>
    internal static async Task<Acknowledgement> AcknowledgedAsync(
        ChannelCall call, ulong through)
    {
        while (true)
        {
            ChannelMessage message = (await call.ReadAsync())!;
            if (message.Acknowledgement is { } acknowledgement && acknowledgement.Through >= through)
            {
                return acknowledgement;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Messenger.DisposeAsync();
        _channel.Dispose();
        await _host.DisposeAsync();
        Uplink.Dispose();
        _folder.Delete(recursive: true);
    }
}
